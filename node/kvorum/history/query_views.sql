-- What stands beside the views of the file while people's SQL runs; made anew for every query, in
-- memory only. `_leases` and `_members` are filled by whoever asks, who knows them.

CREATE TEMP TABLE _leases (lease BIGINT, granted_s BIGINT, remaining_s BIGINT);

CREATE TEMP TABLE _members (
    member UBIGINT, name VARCHAR, client_urls VARCHAR[], peer_urls VARCHAR[], is_learner BOOLEAN
);

-- remaining_s is NULL where nobody could tell; hex is how etcdctl writes the id.
CREATE TEMP VIEW leases AS
SELECT
    lease,
    format(
        '{:x}',
        (lease + CASE WHEN lease < 0 THEN 18446744073709551616::HUGEINT ELSE 0 END)::UBIGINT
    ) AS hex,
    granted_s,
    remaining_s
FROM _leases;

CREATE TEMP VIEW members AS
SELECT member, format('{:x}', member) AS hex, name, client_urls, peer_urls, is_learner
FROM _members;

-- The first `depth` parts of a key up to and with their slash; the last part is never among them.
CREATE TEMP MACRO prefix_of(key, depth) AS (
    WITH cut AS (
        SELECT
            string_split(key, '/') AS parts,
            depth + CASE WHEN starts_with(key, '/') THEN 1 ELSE 0 END AS wanted
    )
    SELECT CASE
        WHEN len(parts) = 1 THEN ''
        ELSE array_to_string(parts[1:least(wanted, len(parts) - 1)], '/') || '/'
    END
    FROM cut
);

-- Writes by prefix and by stretch of time; `minute` is NULL where the time is not known.
CREATE TEMP MACRO writes_by(depth, stretch) AS TABLE
SELECT
    time_bucket(stretch, e.time)                        AS minute,
    prefix_of(e.key, depth)                             AS prefix,
    count(*) FILTER (e.type = 'put')                    AS puts,
    count(*) FILTER (e.type = 'delete')                 AS deletes,
    count(DISTINCT e.key_bytes)                         AS keys,
    sum(octet_length(e.value_bytes))::BIGINT            AS bytes,
    min(e.revision)                                     AS first_revision,
    max(e.revision)                                     AS last_revision
FROM events AS e
GROUP BY ALL;

CREATE TEMP VIEW writes AS SELECT * FROM writes_by(1, INTERVAL 1 MINUTE);
