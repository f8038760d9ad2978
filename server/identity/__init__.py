"""Organisations, people, devices, pairing, sessions bound to device keys (DPoP), service clients."""
