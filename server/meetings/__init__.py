"""Meetings: invitations, their revisions, answers for the newest one, papers, calendars (MTG-1, MTG-5, MTG-6)."""
