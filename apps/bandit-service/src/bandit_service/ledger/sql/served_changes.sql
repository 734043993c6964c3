-- The revision and the version of weights of every experiment in which one of them has changed since a time.
-- `since` lies before the last look by longer than a statement may take: what was committed late is not missed.
WITH changed AS (
    SELECT id FROM experiments WHERE updated_at >= to_timestamp(%(since)s)
    UNION
    SELECT experiment_id FROM weights WHERE published_at >= to_timestamp(%(since)s)
)
SELECT
    extract(epoch FROM clock_timestamp())::float8, ledger_timeline(), array_agg(id), array_agg(revision),
    array_agg(coalesce(version, 0))
FROM changed JOIN experiments USING (id) LEFT JOIN weights ON weights.experiment_id = id
