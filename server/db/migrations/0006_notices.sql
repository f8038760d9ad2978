-- A notice to one person about one thing, and its deliveries to that person's devices. The opaque id is all that leaves in a push (C12).
CREATE TABLE notices (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES people (id),
    document TEXT,
    kind TEXT NOT NULL,
    urgency BIGINT NOT NULL,
    collapse TEXT NOT NULL,
    revision BIGINT NOT NULL,
    state TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    fetched_us BIGINT,
    acknowledged_us BIGINT
);
CREATE INDEX notices_person ON notices (person, created_us);
CREATE INDEX notices_collapse ON notices (person, collapse, revision);
CREATE INDEX notices_document ON notices (document);

CREATE TABLE deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    notice TEXT NOT NULL REFERENCES notices (id),
    device TEXT NOT NULL,
    transport TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    outcome TEXT,
    queued_us BIGINT NOT NULL,
    accepted_us BIGINT,
    received_us BIGINT,
    shown_us BIGINT,
    read_us BIGINT
);
CREATE INDEX deliveries_notice ON deliveries (notice);
CREATE UNIQUE INDEX deliveries_once ON deliveries (notice, device, transport);
