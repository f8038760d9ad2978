-- What the server knows of the signer's credentials. The signer's own store decides; this is for sessions and screens.
CREATE TABLE credentials (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    kind TEXT NOT NULL,
    person TEXT REFERENCES people (id),
    key_type TEXT NOT NULL,
    subject TEXT NOT NULL,
    csr BLOB,
    certificate BLOB,
    chain BLOB,
    not_after_us BIGINT,
    state TEXT NOT NULL,
    created_us BIGINT NOT NULL
);
CREATE INDEX credentials_person ON credentials (person, state);
CREATE INDEX credentials_organisation ON credentials (organisation, kind, state);

CREATE TABLE credential_holders (
    credential TEXT NOT NULL REFERENCES credentials (id),
    person TEXT NOT NULL REFERENCES people (id),
    created_us BIGINT NOT NULL,
    PRIMARY KEY (credential, person)
);
CREATE INDEX credential_holders_person ON credential_holders (person);

-- Vouchers wait here until the phone that they name redeems them at the signer. The signer checks them; this table only carries.
CREATE TABLE vouchers (
    digest TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    kind TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES people (id),
    credential TEXT NOT NULL,
    approval_key TEXT NOT NULL,
    purpose TEXT NOT NULL,
    voucher TEXT NOT NULL,
    join_approval TEXT,
    join_sealed_pin BLOB,
    state TEXT NOT NULL,
    not_after_us BIGINT NOT NULL,
    created_us BIGINT NOT NULL
);
CREATE INDEX vouchers_person ON vouchers (person, state);

-- A prepared revision: the signature field, stamp and empty hole appended to the head, waiting for one person's approval.
CREATE TABLE prepared_revisions (
    id TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL REFERENCES documents (id),
    position BIGINT NOT NULL,
    person TEXT NOT NULL,
    credential TEXT NOT NULL,
    parent TEXT NOT NULL,
    blob TEXT NOT NULL,
    tbs TEXT NOT NULL,
    manifest BLOB NOT NULL,
    manifest_digest TEXT NOT NULL,
    assembly BLOB NOT NULL,
    state TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL
);
CREATE INDEX prepared_revisions_document ON prepared_revisions (document, position, person, state);

-- One row per signature activation: the intent, written before the signer is asked (S1), and its outcome (S2).
CREATE TABLE activations (
    challenge TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    person TEXT NOT NULL,
    device TEXT NOT NULL,
    credential TEXT NOT NULL,
    approval TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    created_us BIGINT NOT NULL,
    settled_us BIGINT
);
CREATE INDEX activations_open ON activations (created_us) WHERE state = 'intent';
CREATE INDEX activations_device ON activations (device, state);

CREATE TABLE activation_items (
    challenge TEXT NOT NULL REFERENCES activations (challenge),
    item BIGINT NOT NULL,
    document TEXT NOT NULL REFERENCES documents (id),
    position BIGINT NOT NULL,
    prepared TEXT NOT NULL REFERENCES prepared_revisions (id),
    tbs TEXT NOT NULL,
    manifest_digest TEXT NOT NULL,
    cms BLOB,
    signed_us BIGINT,
    stamped_us BIGINT,
    revision TEXT,
    PRIMARY KEY (challenge, item)
);
CREATE INDEX activation_items_document ON activation_items (document, position);
CREATE INDEX activation_items_unstamped ON activation_items (signed_us) WHERE cms IS NOT NULL AND stamped_us IS NULL;

CREATE TABLE receipts (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    document TEXT NOT NULL,
    challenge TEXT NOT NULL,
    event TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_us BIGINT NOT NULL
);
CREATE INDEX receipts_document ON receipts (document);

-- Verdict of our own validation over a revision's whole chain; sealing and forwarding ask for it.
CREATE TABLE validations (
    revision TEXT NOT NULL PRIMARY KEY,
    verdict TEXT NOT NULL,
    report BLOB NOT NULL,
    at_us BIGINT NOT NULL
);
