"""Numbers for the head of the office: what was issued, delivered, signed, acknowledged, and what is overdue."""
