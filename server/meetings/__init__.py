"""Meetings: invitations, their revisions, answers for the newest one, papers, calendars (MTG-1 to MTG-6)."""
