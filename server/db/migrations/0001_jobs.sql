-- The outbox, which is also the job queue (architecture §4). A finished job leaves no row.
-- due_us is the one time that matters to a claim: 0 = at once; waiting: not before; running: the lease's end.
-- failures counts claims that ended badly, crashes of the worker included; attempt counts all claims.
CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  lane TEXT NOT NULL CHECK (lane IN ('urgent', 'normal', 'bulk')),
  payload TEXT NOT NULL,
  ordering_key TEXT,
  dedupe_key TEXT,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'buried')),
  due_us BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  owner TEXT,
  lease TEXT,
  reason TEXT,
  CHECK ((state = 'running') = (lease IS NOT NULL))
);

CREATE INDEX jobs_due ON jobs (lane, due_us, id) WHERE state <> 'buried';

CREATE INDEX jobs_ordering ON jobs (ordering_key, id) WHERE ordering_key IS NOT NULL AND state <> 'buried';

-- At most one job of a key runs, whatever two claims believed at the same moment.
CREATE UNIQUE INDEX jobs_one_running ON jobs (ordering_key) WHERE ordering_key IS NOT NULL AND state = 'running';

CREATE UNIQUE INDEX jobs_dedupe ON jobs (dedupe_key) WHERE dedupe_key IS NOT NULL;

CREATE INDEX jobs_buried ON jobs (created_us) WHERE state = 'buried';

-- One row per periodic job: the last period that was started, by whichever process came first.
CREATE TABLE job_periods (
  kind TEXT PRIMARY KEY,
  period BIGINT NOT NULL
);
