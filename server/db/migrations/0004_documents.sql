-- A document is a chain of immutable revisions, each named by its SHA-256 and extending its parent byte for byte.
CREATE TABLE documents (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    client TEXT NOT NULL,
    source_reference TEXT,
    state TEXT NOT NULL,
    state_since_us BIGINT NOT NULL,
    state_due_us BIGINT,
    alarmed_us BIGINT,
    step BIGINT,
    head TEXT NOT NULL,
    version BIGINT NOT NULL,
    page_count BIGINT NOT NULL,
    code_number TEXT NOT NULL,
    code_notation TEXT NOT NULL,
    subject TEXT NOT NULL,
    type_name TEXT NOT NULL,
    urgency BIGINT NOT NULL,
    promulgation_place TEXT NOT NULL,
    promulgation_date TEXT NOT NULL,
    due_date TEXT,
    header BLOB NOT NULL,
    exchange_id TEXT NOT NULL UNIQUE,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL
);
CREATE INDEX documents_organisation ON documents (organisation, created_us);
CREATE INDEX documents_duplicate ON documents (organisation, code_number, code_notation);
CREATE INDEX documents_due ON documents (state_due_us) WHERE state_due_us IS NOT NULL AND alarmed_us IS NULL;
CREATE INDEX documents_queue ON documents (organisation, state, urgency, created_us);

CREATE TABLE revisions (
    document TEXT NOT NULL REFERENCES documents (id),
    number BIGINT NOT NULL,
    digest TEXT NOT NULL,
    parent TEXT,
    size BIGINT NOT NULL,
    kind TEXT NOT NULL,
    step BIGINT,
    version BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (document, number)
);
CREATE INDEX revisions_digest ON revisions (digest);

-- The signing route: people in order, the seal last. Fields are placed for all of it in the first revision.
CREATE TABLE route_steps (
    document TEXT NOT NULL REFERENCES documents (id),
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    person TEXT REFERENCES people (id),
    field_name TEXT NOT NULL,
    authority_line TEXT NOT NULL,
    placement BLOB,
    state TEXT NOT NULL,
    decided_by TEXT,
    decided_us BIGINT,
    PRIMARY KEY (document, position)
);
CREATE INDEX route_steps_person ON route_steps (person, state);

-- Who may see a document, and where it stands in that person's inbox. Written at intake and when a step opens, so that an
-- inbox page is one index range whatever the number of documents.
CREATE TABLE document_readers (
    person TEXT NOT NULL,
    document TEXT NOT NULL REFERENCES documents (id),
    organisation TEXT NOT NULL,
    reason TEXT NOT NULL,
    waiting BIGINT NOT NULL,
    urgency BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    PRIMARY KEY (person, document)
);
CREATE INDEX document_readers_inbox ON document_readers (person, waiting DESC, urgency DESC, at_us DESC, document DESC);
CREATE INDEX document_readers_document ON document_readers (document);

CREATE TABLE changes_counters (
    organisation TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);
CREATE TABLE changes (
    organisation TEXT NOT NULL,
    seq BIGINT NOT NULL,
    document TEXT NOT NULL,
    kind TEXT NOT NULL,
    tombstone BIGINT NOT NULL,
    state TEXT NOT NULL,
    detail BLOB NOT NULL,
    at_us BIGINT NOT NULL,
    PRIMARY KEY (organisation, seq)
);
CREATE INDEX changes_document ON changes (document, seq);

CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    client TEXT NOT NULL,
    url TEXT NOT NULL,
    secret BLOB NOT NULL,
    events TEXT NOT NULL,
    state TEXT NOT NULL,
    created_us BIGINT NOT NULL
);
CREATE INDEX webhooks_organisation ON webhooks (organisation, state);

-- Page images of a revision, made by one renderer version.
CREATE TABLE page_images (
    revision TEXT NOT NULL,
    renderer TEXT NOT NULL,
    page BIGINT NOT NULL,
    width BIGINT NOT NULL,
    height BIGINT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (revision, renderer, page, width)
);
CREATE TABLE preview_verdicts (
    revision TEXT NOT NULL PRIMARY KEY,
    verdict TEXT NOT NULL,
    at_us BIGINT NOT NULL
);
