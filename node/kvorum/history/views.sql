-- What people query. Keys and values are text where they are UTF-8 and DuckDB's escaped form
-- (\xFF) where not; the bytes stand beside them. "at" is a word of DuckDB's grammar: write e.at,
-- "at", or its twin `time`. A mirror of a real etcd does not know when a change was made: NULL.

CREATE VIEW events AS
SELECT
    revision,
    sub,
    CASE type WHEN 0 THEN 'put' ELSE 'delete' END         AS type,
    coalesce(try(decode(key)), key::VARCHAR)              AS key,
    coalesce(try(decode(value)), value::VARCHAR)          AS value,
    version,
    create_revision,
    prev_revision,
    lease,
    nullif("at", 'epoch'::TIMESTAMP)                      AS "at",
    nullif("at", 'epoch'::TIMESTAMP)                      AS time,
    member,
    user_name,
    key                                                   AS key_bytes,
    value                                                 AS value_bytes
FROM history;

-- The live keys as they were at a revision.
CREATE MACRO keys_at(at_revision) AS TABLE
SELECT
    coalesce(try(decode(h.key)), h.key::VARCHAR)          AS key,
    coalesce(try(decode(h.value)), h.value::VARCHAR)      AS value,
    h.version,
    h.create_revision,
    h.revision                                            AS mod_revision,
    h.lease,
    nullif(h."at", 'epoch'::TIMESTAMP)                    AS "at",
    nullif(h."at", 'epoch'::TIMESTAMP)                    AS time,
    h.key                                                 AS key_bytes,
    h.value                                               AS value_bytes
FROM history AS h
JOIN (
    SELECT n.key, max(n.revision) AS revision
    FROM history AS n
    WHERE n.revision <= at_revision
    GROUP BY n.key
) AS newest ON h.key = newest.key AND h.revision = newest.revision
WHERE h.type = 0;
