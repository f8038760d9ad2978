"""Keeping signatures provable: the archive's revision behind the seal, its renewal, and the record of a document (SW-5, REC-1)."""
