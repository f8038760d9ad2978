-- Meetings (MTG-1 to MTG-6). A change is a new revision of the same event: `uid` stays, `sequence` grows (RFC 5545). `details` is the JSON of
-- `meetings.model.Details`; starts and ends stand in the meeting too, for the questions that compare times.
CREATE TABLE meetings (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    uid TEXT NOT NULL UNIQUE,
    organiser TEXT REFERENCES people (id),
    client TEXT REFERENCES service_clients (id),
    source_reference TEXT,
    state TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    starts_us BIGINT NOT NULL,
    ends_us BIGINT NOT NULL,
    created_us BIGINT NOT NULL
);
CREATE INDEX meetings_organisation ON meetings (organisation, ends_us);

CREATE TABLE meeting_revisions (
    meeting TEXT NOT NULL REFERENCES meetings (id),
    sequence BIGINT NOT NULL,
    kind TEXT NOT NULL,
    details TEXT NOT NULL,
    urgency BIGINT NOT NULL,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (meeting, sequence)
);

-- `last` is the last revision that somebody who was taken off the list belonged to, else null. An answer counts for the revision `answered` alone.
CREATE TABLE meeting_attendees (
    meeting TEXT NOT NULL REFERENCES meetings (id),
    person TEXT NOT NULL REFERENCES people (id),
    last BIGINT,
    substitute_for TEXT REFERENCES people (id),
    answer TEXT NOT NULL,
    answered BIGINT,
    answered_us BIGINT,
    reason TEXT NOT NULL,
    substitute TEXT REFERENCES people (id),
    came_us BIGINT,
    came_by TEXT,
    PRIMARY KEY (meeting, person)
);
CREATE INDEX meeting_attendees_person ON meeting_attendees (person, meeting);

-- A replaced paper keeps its id and its place; `version` counts from 1.
CREATE TABLE meeting_papers (
    id TEXT NOT NULL PRIMARY KEY,
    meeting TEXT NOT NULL REFERENCES meetings (id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    page_count BIGINT NOT NULL,
    version BIGINT NOT NULL,
    changed_us BIGINT NOT NULL
);
CREATE INDEX meeting_papers_meeting ON meeting_papers (meeting, id);

-- A person's calendar feed. The secret in its address is kept as its digest alone.
CREATE TABLE calendar_feeds (
    person TEXT NOT NULL PRIMARY KEY REFERENCES people (id),
    organisation TEXT NOT NULL,
    secret_hash TEXT NOT NULL UNIQUE,
    created_us BIGINT NOT NULL,
    fetched_us BIGINT
);
