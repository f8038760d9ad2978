-- How often something of a kind (`notices`, `meetings`) changed for a person: what open streams compare (D9). The place is the sum of the rows: one is
-- added an event, so that transactions about one person do not fail each other, and they are gathered into one afterwards.
CREATE TABLE live_places (
    person TEXT NOT NULL,
    topic TEXT NOT NULL,
    place BIGINT NOT NULL,
    PRIMARY KEY (person, topic)
);

-- Streams that are open, over all processes. A process that dies leaves its rows behind until they end; they only let pushes wait for a moment.
CREATE TABLE live_streams (
    id TEXT NOT NULL PRIMARY KEY,
    device TEXT NOT NULL,
    until_us BIGINT NOT NULL
);
CREATE INDEX live_streams_device ON live_streams (device, until_us);
CREATE INDEX live_streams_until ON live_streams (until_us);
