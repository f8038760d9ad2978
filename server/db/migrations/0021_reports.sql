-- What reports count in a period, each one index range; and what webhooks could not be delivered, for the client whose endpoint it is.
CREATE INDEX outgoing_packets_issued ON outgoing_packets (organisation, accepted_us) WHERE accepted_us IS NOT NULL;
CREATE INDEX route_steps_decided ON route_steps (decided_us) WHERE decided_us IS NOT NULL;
CREATE INDEX escalations_started ON escalations (organisation, started_us);
CREATE INDEX documents_overdue ON documents (organisation, state_due_us) WHERE state_due_us IS NOT NULL;

-- A message keeps its id whenever it is sent again, so that the receiver drops it when it had come after all.
CREATE TABLE webhook_dead_letters (
    id TEXT NOT NULL PRIMARY KEY,
    endpoint TEXT NOT NULL REFERENCES webhooks (id),
    subject TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    died_us BIGINT NOT NULL
);
CREATE INDEX webhook_dead_letters_endpoint ON webhook_dead_letters (endpoint, id);
CREATE INDEX webhook_dead_letters_died ON webhook_dead_letters (died_us);

-- What other systems announced to people. Its notices are about `announcement:` and its id.
CREATE TABLE announcements (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    client TEXT NOT NULL REFERENCES service_clients (id),
    source_reference TEXT,
    headline TEXT NOT NULL,
    urgency BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    withdrawn_us BIGINT
);
