"""Approvals: prepared revisions, what a person approves, the two-store protocol with the signer, the clerk's seal queue."""
