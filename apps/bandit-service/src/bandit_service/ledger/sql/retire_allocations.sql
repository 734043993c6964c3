-- The newest of an experiment stays, and those whose rewards are not in a period yet.
DELETE FROM allocations AS old
WHERE published_at < {before}
    AND EXISTS (
        SELECT FROM allocations AS newer
        WHERE newer.experiment_id = old.experiment_id AND newer.weights_version > old.weights_version
    )
    AND NOT EXISTS (
        SELECT FROM arm_totals AS total
        WHERE total.experiment_id = old.experiment_id AND total.weights_version = old.weights_version
    )
RETURNING *
