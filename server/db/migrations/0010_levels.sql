-- Certificate status (SW-4, SW-5; threat D6). One row per certificate that was asked about; `answer` names the bytes that say it.
CREATE TABLE certificate_statuses (
    certificate TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    source TEXT NOT NULL,
    this_update_us BIGINT NOT NULL,
    usable_until_us BIGINT NOT NULL,
    revoked_at_us BIGINT,
    reason TEXT NOT NULL,
    answer TEXT NOT NULL,
    checked_us BIGINT NOT NULL,
    failing_since_us BIGINT
);

-- OCSP answers and revocation lists by digest; kept while a status, a list in use or a signature names them.
CREATE TABLE status_answers (
    digest TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    answer BLOB NOT NULL,
    fetched_us BIGINT NOT NULL
);

-- The newest list of each configured address; many certificates share one.
CREATE TABLE status_lists (
    url TEXT NOT NULL PRIMARY KEY,
    answer TEXT NOT NULL,
    fetched_us BIGINT NOT NULL,
    usable_until_us BIGINT NOT NULL
);

-- What was known of every certificate of the path when the sheet was opened: the evidence of the signature (SW-5).
CREATE TABLE signature_evidence (
    prepared TEXT NOT NULL REFERENCES prepared_revisions (id),
    certificate TEXT NOT NULL,
    state TEXT NOT NULL,
    answer TEXT NOT NULL,
    checked_us BIGINT NOT NULL,
    PRIMARY KEY (prepared, certificate)
);
CREATE INDEX signature_evidence_answer ON signature_evidence (answer);

-- The archive's revisions: the last stamp's certificate says when the next is due.
CREATE TABLE archive_stamps (
    document TEXT NOT NULL REFERENCES documents (id),
    revision TEXT NOT NULL,
    level TEXT NOT NULL,
    certificate TEXT NOT NULL,
    not_after_us BIGINT NOT NULL,
    stamped_us BIGINT NOT NULL,
    superseded INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (document, revision)
);
CREATE INDEX archive_stamps_due ON archive_stamps (not_after_us) WHERE superseded = 0;
