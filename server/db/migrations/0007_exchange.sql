-- Packets that leave for the axis, and what became of them at each receiver. `blob` is the packet file, so its SHA-256 is the
-- `hash-file` of every try; stage to description are the sending policy's state, kept before and after each step of it.
CREATE TABLE outgoing_packets (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    document TEXT NOT NULL REFERENCES documents (id),
    kind TEXT NOT NULL,
    sender TEXT NOT NULL,
    reference TEXT NOT NULL,
    revision TEXT NOT NULL,
    blob TEXT NOT NULL,
    stage TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    not_before_us BIGINT NOT NULL,
    doc_id TEXT NOT NULL,
    code TEXT NOT NULL,
    description TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    sent_us BIGINT,
    accepted_us BIGINT,
    UNIQUE (document, kind)
);
-- The sent list of the axis knows a packet by its reference only.
CREATE INDEX outgoing_packets_reference ON outgoing_packets (reference);

CREATE TABLE packet_receivers (
    packet TEXT NOT NULL REFERENCES outgoing_packets (id),
    organ_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    before_take_back TEXT,
    status_code TEXT,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (packet, organ_id)
);

-- Everything that the axis delivered to us, raw. It is confirmed there only after its row is committed here.
CREATE TABLE incoming_packets (
    axis_id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT,
    document TEXT,
    kind TEXT NOT NULL,
    sender TEXT NOT NULL,
    receiver TEXT NOT NULL,
    blob TEXT NOT NULL,
    state TEXT NOT NULL,
    error TEXT NOT NULL,
    received_us BIGINT NOT NULL,
    confirmed_us BIGINT
);
CREATE INDEX incoming_packets_unconfirmed ON incoming_packets (kind) WHERE confirmed_us IS NULL;
CREATE INDEX incoming_packets_state ON incoming_packets (kind, state, received_us);

-- Every business status, also late or of lower rank: the history keeps all, and a repeated one once.
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
