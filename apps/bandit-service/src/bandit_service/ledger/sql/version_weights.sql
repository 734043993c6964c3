-- When versions of the weights were in force, the share of the holdout, and the weights by index of the arm; null for what
-- retention has deleted.
SELECT
    wanted.experiment_id, wanted.weights_version,
    extract(epoch FROM coalesce(allocation.published_at, next.published_at))::double precision,
    extract(epoch FROM next.published_at)::double precision,
    allocation.holdout, arms.indexes, arms.weights
FROM unnest(%(experiment_ids)s::text[], %(versions)s::bigint[]) AS wanted (experiment_id, weights_version)
LEFT JOIN allocations AS allocation USING (experiment_id, weights_version)
LEFT JOIN LATERAL (
    SELECT published_at FROM allocations
    WHERE experiment_id = wanted.experiment_id AND weights_version > wanted.weights_version
    ORDER BY weights_version
    LIMIT 1
) AS next ON true
LEFT JOIN LATERAL (
    SELECT
        array_agg(arm_index ORDER BY arm_index) AS indexes,
        array_agg((allocation.weights ->> arm)::double precision ORDER BY arm_index) AS weights
    FROM experiment_arms
    WHERE experiment_id = wanted.experiment_id AND allocation.weights ? arm
) AS arms ON true
