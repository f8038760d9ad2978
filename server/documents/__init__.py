"""Documents: intake, inbox, revisions, the changes feed, return and recall."""
