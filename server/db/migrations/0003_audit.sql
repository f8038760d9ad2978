-- The server's log. An event is written in the transaction of the change that it records (threat A15); its place in the
-- Merkle tree is given afterwards by one sequencer, so that concurrent writers never wait for each other.
CREATE TABLE audit_events (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    subject TEXT NOT NULL,
    body BLOB NOT NULL,
    position BIGINT UNIQUE
);
CREATE INDEX audit_events_unsequenced ON audit_events (id) WHERE position IS NULL;
CREATE INDEX audit_events_subject ON audit_events (subject, at_us);

-- One row: the frontier of the tree, so that appending never reads old leaves.
CREATE TABLE audit_tree (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    size BIGINT NOT NULL,
    frontier BLOB NOT NULL
);
INSERT INTO audit_tree (id, size, frontier) VALUES (1, 0, '');

-- Hashes of complete subtrees: a proof reads about as many rows as the tree is high, whatever its size.
CREATE TABLE audit_nodes (
    level BIGINT NOT NULL,
    number BIGINT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, number)
);

CREATE TABLE audit_heads (
    size BIGINT NOT NULL PRIMARY KEY,
    root TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    head TEXT NOT NULL
);

-- First answers of requests that carried an Idempotency-Key (threat C16), written with the effect itself.
CREATE TABLE once_answers (
    actor TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    answer BLOB,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (actor, route, key)
);
CREATE INDEX once_answers_created ON once_answers (created_us);
