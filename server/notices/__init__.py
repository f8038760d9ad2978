"""Notices: who hears of what. The push carries an opaque id; the phone fetches the rest with its session (C12)."""
