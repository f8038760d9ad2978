-- Notices by subject and revision, escalation to a named person, quiet hours, channels beside push (NOT-1 to NOT-4, C12, C13).
-- `about` is what a notice is about (`document:…`, `meeting:…`): a later revision of it supersedes what was said before. `collapse` is the
-- random token that its pushes share. `origin` is the notice that a chain of escalation began with. `sender` is told when the chain ends.
ALTER TABLE notices ADD COLUMN lane TEXT NOT NULL DEFAULT 'normal';
ALTER TABLE notices ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE notices ADD COLUMN headline TEXT NOT NULL DEFAULT '';
ALTER TABLE notices ADD COLUMN sender TEXT;
ALTER TABLE notices ADD COLUMN origin TEXT;
UPDATE notices SET about = 'document:' || document WHERE document IS NOT NULL;
UPDATE notices SET lane = 'urgent' WHERE urgency >= 1;
CREATE INDEX notices_about ON notices (organisation, about, person);
CREATE INDEX notices_origin ON notices (origin) WHERE origin IS NOT NULL;

-- `step` is the step of the chain that asked for it, 0 for the notice itself; `purpose` 'clear' takes a notification away. SMS and
-- e-mail have no device. `held` waits for the end of quiet hours or of a storm, `folded` is in the inbox alone.
ALTER TABLE deliveries ADD COLUMN step BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN purpose TEXT NOT NULL DEFAULT 'notice';
DROP INDEX deliveries_once;
CREATE UNIQUE INDEX deliveries_once ON deliveries (notice, device, transport, purpose, step);
CREATE INDEX deliveries_held ON deliveries (notice) WHERE state = 'held';

-- Pushes of a person in the running hour, a lane each (C13).
CREATE TABLE push_budgets (
    person TEXT NOT NULL,
    lane TEXT NOT NULL,
    since_us BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (person, lane)
);

-- A person's own: quiet hours in minutes of the day, who stands in at any time, where SMS and e-mail reach.
CREATE TABLE notice_settings (
    person TEXT NOT NULL PRIMARY KEY REFERENCES people (id),
    organisation TEXT NOT NULL,
    quiet_from BIGINT,
    quiet_to BIGINT,
    deputy TEXT REFERENCES people (id),
    phone TEXT NOT NULL,
    email TEXT NOT NULL,
    updated_us BIGINT NOT NULL
);

CREATE TABLE absences (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES people (id),
    kind TEXT NOT NULL,
    from_us BIGINT NOT NULL,
    to_us BIGINT NOT NULL,
    deputy TEXT NOT NULL REFERENCES people (id),
    created_us BIGINT NOT NULL,
    ended_us BIGINT
);
CREATE INDEX absences_person ON absences (person, to_us);

-- An organisation's: quiet and working hours, days without work, caps, chains. JSON, read and written whole.
CREATE TABLE notice_rules (
    organisation TEXT NOT NULL PRIMARY KEY REFERENCES organisations (id),
    rules TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    updated_us BIGINT NOT NULL
);

-- One chain a notice. `policy` is the one that it began with; `next_us` when its next step is due.
CREATE TABLE escalations (
    notice TEXT NOT NULL PRIMARY KEY REFERENCES notices (id),
    organisation TEXT NOT NULL,
    person TEXT NOT NULL,
    policy TEXT NOT NULL,
    position BIGINT NOT NULL,
    state TEXT NOT NULL,
    started_us BIGINT NOT NULL,
    next_us BIGINT,
    ended_us BIGINT,
    ended_by TEXT
);
CREATE INDEX escalations_organisation ON escalations (organisation, state, started_us);

-- What each step did: whom it told by which channel, or why nobody (`outcome`).
CREATE TABLE escalation_steps (
    notice TEXT NOT NULL REFERENCES escalations (notice),
    position BIGINT NOT NULL,
    place BIGINT NOT NULL,
    target TEXT NOT NULL,
    person TEXT,
    channel TEXT NOT NULL,
    outcome TEXT NOT NULL,
    told TEXT,
    at_us BIGINT NOT NULL,
    PRIMARY KEY (notice, position, place)
);
