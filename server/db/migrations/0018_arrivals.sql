-- What came over the exchange for an organisation, as its clerks see it. One row for each packet that has a meaning of its own: a new
-- document, a replacement, and what asks something of an earlier one (`about`): a revocation, an update, a take-back (status 13).
-- `urgency` is NULL where the sender gave a grade that nobody knows: such a document is never shown as normal. `header` is the
-- MessageHeader as JSON, `replaced` the arrivals that a replacement stands in the place of, as a list. `distinct_key` tells repeated updates and take-backs of one document apart, and is empty otherwise.
CREATE TABLE arrivals (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    kind TEXT NOT NULL,
    axis_id TEXT NOT NULL,
    blob TEXT NOT NULL,
    sender TEXT NOT NULL,
    sender_key TEXT NOT NULL,
    sender_name TEXT NOT NULL,
    receiver TEXT NOT NULL,
    exchange_id TEXT NOT NULL,
    distinct_key TEXT NOT NULL,
    content TEXT NOT NULL,
    about TEXT REFERENCES arrivals (id),
    replaced TEXT NOT NULL,
    reference TEXT NOT NULL,
    promulgation_date TEXT,
    type_name TEXT NOT NULL,
    subject TEXT NOT NULL,
    urgency BIGINT,
    due_date TEXT,
    asked TEXT NOT NULL,
    header BLOB NOT NULL,
    state TEXT NOT NULL,
    arrival_year BIGINT,
    arrival_number BIGINT,
    own_number TEXT,
    decided_by TEXT,
    decided_us BIGINT,
    remark TEXT NOT NULL,
    received_us BIGINT NOT NULL,
    UNIQUE (organisation, sender_key, exchange_id, kind, distinct_key),
    UNIQUE (organisation, arrival_year, arrival_number)
);
CREATE INDEX arrivals_listing ON arrivals (organisation, received_us);
CREATE INDEX arrivals_waiting ON arrivals (organisation, urgency, received_us) WHERE state = 'waiting';
CREATE INDEX arrivals_decided ON arrivals (organisation, decided_us) WHERE decided_us IS NOT NULL;
CREATE INDEX arrivals_exchange ON arrivals (organisation, exchange_id);
CREATE INDEX arrivals_about ON arrivals (about) WHERE about IS NOT NULL;

-- Its files, exact bytes by their digest. `pdf`: judged before the document is registered (EXC-2).
CREATE TABLE arrival_files (
    arrival TEXT NOT NULL REFERENCES arrivals (id),
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    pdf BIGINT NOT NULL,
    findings TEXT NOT NULL,
    PRIMARY KEY (arrival, position)
);
CREATE INDEX arrival_files_digest ON arrival_files (digest);

-- The last arrival number of an agency's year; its row is locked to the end of the transaction that takes one, so there are no gaps.
CREATE TABLE arrival_counters (
    organisation TEXT NOT NULL,
    year BIGINT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (organisation, year)
);

-- What follows a document's own packet, and every status of ours. `packet` is the typed packet as JSON, its files named by their digests:
-- the file that is sent is written from it, the same bytes each time. `subject` is the document or arrival whose messages go in order.
CREATE TABLE outgoing_messages (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,
    distinct_key TEXT NOT NULL,
    reference TEXT NOT NULL,
    receivers TEXT NOT NULL,
    packet BLOB NOT NULL,
    stage TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    not_before_us BIGINT NOT NULL,
    doc_id TEXT NOT NULL,
    code TEXT NOT NULL,
    description TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    sent_us BIGINT,
    accepted_us BIGINT,
    UNIQUE (subject, what, distinct_key)
);
CREATE INDEX outgoing_messages_reference ON outgoing_messages (reference);

-- Deadlines of the rules that were warned of before and reported after, once each (TIM-1 to TIM-5).
CREATE TABLE deadline_marks (
    subject TEXT NOT NULL,
    rule TEXT NOT NULL,
    due_us BIGINT NOT NULL,
    warned_us BIGINT,
    reported_us BIGINT,
    PRIMARY KEY (subject, rule)
);

-- What is looked through for them every minute, and stays small.
CREATE INDEX documents_unsent ON documents (state_since_us)
    WHERE state IN ('signed', 'sealing', 'sealed_pending_timestamp', 'sealed_pending_archive', 'sealed');
CREATE INDEX outgoing_packets_accepted ON outgoing_packets (accepted_us) WHERE accepted_us IS NOT NULL;

-- What a device says it removed after a recall (EXC-5).
CREATE TABLE purges (
    document TEXT NOT NULL,
    device TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    PRIMARY KEY (document, device)
);
