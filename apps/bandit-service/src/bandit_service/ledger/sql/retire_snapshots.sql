-- The last of each day stays.
DELETE FROM posterior_snapshots
WHERE taken_at < {before}
    AND (experiment_id, taken_at) NOT IN (
        SELECT experiment_id, max(taken_at) FROM posterior_snapshots
        GROUP BY experiment_id, date_trunc('day', taken_at, 'UTC')
    )
RETURNING *
