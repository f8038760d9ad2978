"""Credentials as the server sees them: carrying vouchers, enrolment, certificates, further devices and holders, PIN change."""
