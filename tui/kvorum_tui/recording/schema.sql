-- A recording: a kvorum history file (the node's own schema: history, identity, progress,
-- compaction, and the views events and keys_at) with what else was seen of the cluster. All times
-- are the recorder's own clock, UTC, in milliseconds. Nothing is ever updated.
--
-- In `history`, "at" is when the recorder saw a change; NULL in `events` for what was there before,
-- or was read from the cluster's history. The keys as they were when the recording began are rows
-- at their own revisions; what is below `compaction.revision` is known only as far as they say.

CREATE TABLE recording (
    format   UINTEGER  NOT NULL,
    title    VARCHAR   NOT NULL,  -- what the header called the cluster
    kind     VARCHAR   NOT NULL,  -- recording or snapshot
    began    TIMESTAMP NOT NULL,
    version  VARCHAR   NOT NULL   -- of the kvorum that wrote it
);

-- Everything up to `revision` had arrived at `at`.
CREATE TABLE arrivals (
    "at"     TIMESTAMP NOT NULL,
    revision BIGINT    NOT NULL
);

-- What a member said of itself, or why it did not; the figures in columns are those in `report`,
-- which is the whole as JSON.
CREATE TABLE reports (
    "at"     TIMESTAMP NOT NULL,
    endpoint VARCHAR   NOT NULL,
    name     VARCHAR   NOT NULL,
    role     VARCHAR   NOT NULL,
    term     BIGINT    NOT NULL,
    leader   UBIGINT   NOT NULL,
    commit   BIGINT    NOT NULL,
    applied  BIGINT    NOT NULL,
    revision BIGINT    NOT NULL,
    db_bytes BIGINT    NOT NULL,
    error    VARCHAR   NOT NULL,  -- empty: it answered
    report   VARCHAR   NOT NULL   -- empty: it did not
);

-- The member table and the leases as they were seen, as JSON; the newest before a moment counts.
CREATE TABLE seen (
    "at"     TIMESTAMP NOT NULL,
    what     VARCHAR   NOT NULL,  -- members, leases
    json     VARCHAR   NOT NULL
);

-- What happened to the recording itself: started, stopped, gap, trouble.
CREATE TABLE marks (
    "at"     TIMESTAMP NOT NULL,
    revision BIGINT    NOT NULL,
    until    BIGINT    NOT NULL,  -- of a gap: its last revision; else 0
    what     VARCHAR   NOT NULL,
    text     VARCHAR   NOT NULL
);
