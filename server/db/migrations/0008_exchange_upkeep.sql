-- What is known of an axis that does not answer, for all processes together: one row an axis, written only when something changes.
CREATE TABLE axis_health (
    axis TEXT NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    closed_until_us BIGINT NOT NULL
);

-- When the file of a packet was deleted. Its row stays, with the digest of what was sent or received.
ALTER TABLE outgoing_packets ADD COLUMN dropped_us BIGINT;
ALTER TABLE incoming_packets ADD COLUMN dropped_us BIGINT;
