-- The newest of an experiment stays: weights are served from it when the store is empty.
COPY (
    DELETE FROM allocations AS old
    WHERE published_at < {before}
        AND EXISTS (
            SELECT FROM allocations AS newer
            WHERE newer.experiment_id = old.experiment_id AND newer.weights_version > old.weights_version
        )
    RETURNING *
) TO STDOUT WITH (FORMAT csv, HEADER)
