-- Authority to sign in another's place (AUT-1 to AUT-6): what the grantor's device signed, kept whole, and what became of it.
CREATE TABLE authority_grants (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    digest TEXT NOT NULL UNIQUE,
    form TEXT NOT NULL,
    grantor TEXT NOT NULL REFERENCES people (id),
    device TEXT NOT NULL REFERENCES devices (id),
    holder TEXT NOT NULL REFERENCES people (id),
    authority_line TEXT NOT NULL,
    paper TEXT NOT NULL,
    types TEXT NOT NULL,
    urgency BIGINT NOT NULL,
    parent TEXT REFERENCES authority_grants (id),
    not_before_us BIGINT NOT NULL,
    not_after_us BIGINT NOT NULL,
    jws TEXT NOT NULL,
    state TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    used_us BIGINT,
    revoked_us BIGINT,
    revoked_by TEXT
);
CREATE INDEX authority_grants_organisation ON authority_grants (organisation, created_us);
CREATE INDEX authority_grants_grantor ON authority_grants (grantor, created_us);
CREATE INDEX authority_grants_holder ON authority_grants (holder, created_us);

-- The grant that a step is signed under, and the one that a prepared revision shows; both must still be one at S1.
ALTER TABLE route_steps ADD COLUMN authority_grant TEXT;
ALTER TABLE prepared_revisions ADD COLUMN authority_grant TEXT;
