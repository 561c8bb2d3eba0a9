-- The revision history: one row a change of one key, never updated, removed only by compaction.
-- Tables that change are written by insert and delete alone: an update blocks DuckDB's checkpoint as
-- long as an older reader is open.

CREATE TABLE history (
    revision        BIGINT    NOT NULL,  -- main revision of the change
    sub             BIGINT    NOT NULL,  -- position within the revision, from 0
    type            UTINYINT  NOT NULL,  -- 0 put, 1 delete
    key             BLOB      NOT NULL,
    value           BLOB      NOT NULL,  -- empty for a delete
    create_revision BIGINT    NOT NULL,  -- 0 for a delete
    version         BIGINT    NOT NULL,  -- 0 for a delete
    lease           BIGINT    NOT NULL,
    prev_revision   BIGINT    NOT NULL,  -- revision of the record it replaced, 0 for a creation
    "at"            TIMESTAMP NOT NULL,  -- when proposed, by the proposer's clock, milliseconds, UTC
    member          UBIGINT   NOT NULL,  -- who proposed it
    user_name       VARCHAR   NOT NULL   -- on whose behalf; empty without auth
);

-- Whose history this is. One row, written once.
CREATE TABLE identity (
    format     UINTEGER NOT NULL,
    cluster_id UBIGINT  NOT NULL,
    member_id  UBIGINT  NOT NULL
);

-- How far the rows go. A row is added in the transaction that adds the history's rows; the newest
-- (largest) counts, older ones go at the next checkpoint.
CREATE TABLE progress (
    applied_index UBIGINT NOT NULL,
    applied_term  UBIGINT NOT NULL,
    revision      BIGINT  NOT NULL
);

-- Compactions: agreed (swept false), and carried out (swept true, added with the removal).
CREATE TABLE compaction (
    revision BIGINT  NOT NULL,
    swept    BOOLEAN NOT NULL
);
