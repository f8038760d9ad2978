"""Certificate status: OCSP answers and revocation lists, fetched from configured hosts and cached (SW-4; threats C11, D6)."""
