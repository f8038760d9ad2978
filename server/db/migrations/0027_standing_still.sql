-- What stands still beside documents under way (NOT-1): arrivals that wait for a direction, directions that nobody has begun, and those past their
-- deadline. Each index holds what is open alone.
CREATE INDEX notices_to_direct ON notices (organisation, about) WHERE kind = 'to_direct' AND state = 'open';
CREATE INDEX directive_assignees_assigned ON directive_assignees (organisation) WHERE state = 'assigned';
CREATE INDEX arrivals_deadlines ON arrivals (organisation, due_date) WHERE state = 'waiting';
CREATE INDEX directives_deadlines ON directives (organisation, due_date) WHERE state = 'open';

-- What is forgotten a year after it was announced.
CREATE INDEX announcements_created ON announcements (created_us);
