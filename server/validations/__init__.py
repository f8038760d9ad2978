"""Validation of signed files that people, systems and the exchange bring (rules SW-7, EXC-2; threats B1, B4)."""
