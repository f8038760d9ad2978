-- What went wrong so far with packets that an axis still lists and that are neither stored nor parked here (D14): one row a packet, gone with its
-- end. `failed`: tries that failed on our side. `since_us`: since when the axis does not hand it over (0: it does); `tries` of those beside
-- others that it did hand over, `refusals` in all. `unplaced_us`: since when nobody of ours is known to be addressed (0: somebody is).
-- `until_us`: not tried again before.
CREATE TABLE incoming_troubles (
    axis_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    system TEXT NOT NULL,
    failed BIGINT NOT NULL,
    since_us BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    refusals BIGINT NOT NULL,
    unplaced_us BIGINT NOT NULL,
    until_us BIGINT NOT NULL
);
CREATE INDEX incoming_troubles_listing ON incoming_troubles (system, kind);
