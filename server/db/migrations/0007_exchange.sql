-- Packets that leave for the axis and what became of them at each receiver.
CREATE TABLE outgoing_packets (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    document TEXT NOT NULL REFERENCES documents (id),
    exchange_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    revision TEXT NOT NULL,
    blob TEXT,
    file_sha256 TEXT,
    state TEXT NOT NULL,
    axis_id TEXT,
    attempts BIGINT NOT NULL,
    error TEXT,
    created_us BIGINT NOT NULL,
    sent_us BIGINT,
    UNIQUE (document, kind)
);
CREATE TABLE packet_receivers (
    packet TEXT NOT NULL REFERENCES outgoing_packets (id),
    organ_id TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    status_code TEXT,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (packet, organ_id)
);
CREATE TABLE incoming_packets (
    axis_id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    kind TEXT NOT NULL,
    sender TEXT NOT NULL,
    blob TEXT,
    state TEXT NOT NULL,
    error TEXT,
    received_us BIGINT NOT NULL,
    confirmed_us BIGINT
);
-- Every business status, also late, repeated or of lower rank: the history keeps all.
CREATE TABLE business_statuses (
    id TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL REFERENCES documents (id),
    organ_id TEXT NOT NULL,
    status_code TEXT NOT NULL,
    description TEXT NOT NULL,
    stated_at TEXT NOT NULL,
    axis_id TEXT NOT NULL,
    received_us BIGINT NOT NULL,
    UNIQUE (document, organ_id, status_code, stated_at)
);
