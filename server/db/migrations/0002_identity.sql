-- Organisations by their code on the exchange axis. The tree is data; the tenant boundary is the single organisation.
CREATE TABLE organisations (
    id TEXT NOT NULL PRIMARY KEY,
    code TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    parent TEXT REFERENCES organisations (id),
    created_us BIGINT NOT NULL
);

CREATE TABLE people (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    name TEXT NOT NULL,
    position TEXT NOT NULL,
    authority_line TEXT NOT NULL,
    state TEXT NOT NULL,
    locale TEXT NOT NULL,
    created_us BIGINT NOT NULL
);
CREATE INDEX people_organisation ON people (organisation, name, id);

CREATE TABLE roles (
    person TEXT NOT NULL REFERENCES people (id),
    role TEXT NOT NULL,
    granted_by TEXT NOT NULL,
    granted_us BIGINT NOT NULL,
    PRIMARY KEY (person, role)
);

-- The owner or a duty officer stops a person's signing key here; the signer is told by a job. Nobody lifts a freeze alone.
CREATE TABLE key_freezes (
    person TEXT NOT NULL PRIMARY KEY REFERENCES people (id),
    organisation TEXT NOT NULL,
    frozen_by TEXT NOT NULL,
    frozen_us BIGINT NOT NULL
);

-- session_key and approval_key are RFC 7638 thumbprints. A key that was ever known is never admitted again.
CREATE TABLE devices (
    id TEXT NOT NULL PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id),
    organisation TEXT NOT NULL REFERENCES organisations (id),
    session_key TEXT NOT NULL UNIQUE,
    session_jwk TEXT NOT NULL,
    approval_key TEXT NOT NULL UNIQUE,
    approval_jwk TEXT NOT NULL,
    label TEXT NOT NULL,
    platform TEXT NOT NULL,
    office BIGINT NOT NULL,
    state TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    seen_us BIGINT NOT NULL,
    admitted_us BIGINT,
    revoked_us BIGINT
);
CREATE INDEX devices_person ON devices (person, state);
CREATE INDEX devices_organisation ON devices (organisation, state, created_us);

CREATE TABLE pairings (
    code_hash TEXT NOT NULL PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id),
    organisation TEXT NOT NULL,
    office BIGINT NOT NULL,
    issued_by TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    redeemed_us BIGINT,
    redeemed_by TEXT
);
CREATE INDEX pairings_expiry ON pairings (expires_us);

-- A family of refresh tokens is one counter: tokens are derived from it and the token key, so no secret stands in a row (threat A2).
CREATE TABLE refresh_families (
    id TEXT NOT NULL PRIMARY KEY,
    device TEXT NOT NULL REFERENCES devices (id),
    generation BIGINT NOT NULL,
    state TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    rotated_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL
);
CREATE INDEX refresh_families_device ON refresh_families (device, state);

CREATE TABLE access_tokens (
    token_hash TEXT NOT NULL PRIMARY KEY,
    family TEXT NOT NULL REFERENCES refresh_families (id),
    device TEXT NOT NULL REFERENCES devices (id),
    expires_us BIGINT NOT NULL
);
CREATE INDEX access_tokens_device ON access_tokens (device);
CREATE INDEX access_tokens_family ON access_tokens (family);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_us);

CREATE TABLE service_clients (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    state TEXT NOT NULL,
    created_us BIGINT NOT NULL
);

CREATE TABLE client_tokens (
    token_hash TEXT NOT NULL PRIMARY KEY,
    client TEXT NOT NULL REFERENCES service_clients (id),
    scopes TEXT NOT NULL,
    bound_key TEXT,
    expires_us BIGINT NOT NULL
);
CREATE INDEX client_tokens_client ON client_tokens (client);
CREATE INDEX client_tokens_expiry ON client_tokens (expires_us);

-- Proofs seen within their window (RFC 9449 §11.1), one row a call, unique over all processes.
CREATE TABLE dpop_proofs (
    proof TEXT NOT NULL PRIMARY KEY,
    expires_us BIGINT NOT NULL
);
CREATE INDEX dpop_proofs_expiry ON dpop_proofs (expires_us);

-- Where a device is reached. An address belongs to one device, so to one person, at a time (threat C14).
CREATE TABLE push_addresses (
    address TEXT NOT NULL PRIMARY KEY,
    device TEXT NOT NULL REFERENCES devices (id),
    transport TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    state TEXT NOT NULL,
    seen_us BIGINT NOT NULL
);
CREATE INDEX push_addresses_device ON push_addresses (device, state);
