"""Leaders' directions (bút phê): lead, coordinators, deadline, progress and completion, from the phone."""
