-- The newest of an experiment stays.
DELETE FROM allocations AS old
WHERE published_at < {before}
    AND EXISTS (
        SELECT FROM allocations AS newer
        WHERE newer.experiment_id = old.experiment_id AND newer.weights_version > old.weights_version
    )
RETURNING *
