"""Signing: the signer's process (`core`), its client, what a device computes, and PDF work (`pdf`)."""
