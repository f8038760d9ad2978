-- What was told of documents that stand still or are late (NOT-1): once for each stay with a handler (`since_us`), a reason and a handler
-- ('' for the organisation's clerks). `subject` is `document:…` or `arrival:…`; `digest:…` is a morning's. `ended_us`: it moved on.
CREATE TABLE followups (
    organisation TEXT NOT NULL REFERENCES organisations (id),
    subject TEXT NOT NULL,
    reason TEXT NOT NULL,
    handler TEXT NOT NULL,
    since_us BIGINT NOT NULL,
    told_us BIGINT NOT NULL,
    looked_us BIGINT NOT NULL,
    ended_us BIGINT,
    PRIMARY KEY (organisation, subject, reason, handler, since_us)
);
CREATE INDEX followups_open ON followups (organisation, looked_us) WHERE ended_us IS NULL;

-- Running chains by when their next step is due: one whose job is gone is found here.
CREATE INDEX escalations_due ON escalations (next_us) WHERE state = 'running';

-- Invitations by e-mail (MTG-4): a person's wish, and what was sent of each revision to whom. `method` is iTIP's, request or cancel (RFC 5546).
ALTER TABLE notice_settings ADD COLUMN meetings_by_mail BIGINT NOT NULL DEFAULT 0;
CREATE TABLE meeting_mails (
    meeting TEXT NOT NULL REFERENCES meetings (id),
    person TEXT NOT NULL REFERENCES people (id),
    sequence BIGINT NOT NULL,
    method TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT NOT NULL,
    queued_us BIGINT NOT NULL,
    sent_us BIGINT,
    PRIMARY KEY (meeting, person, sequence, method)
);
