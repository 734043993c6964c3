-- Each published change of the weights, the one in force at the start of the range, and the last one carried on to its end.
WITH kept AS (
    SELECT weights_version, published_at, weights
    FROM allocations_v1
    WHERE experiment_id = ${experiment:sqlstring}
        AND published_at <= $__timeTo()
        AND published_at >= (
            SELECT coalesce(max(published_at), $__timeFrom())
            FROM allocations_v1
            WHERE experiment_id = ${experiment:sqlstring} AND published_at <= $__timeFrom()
        )
),
shown AS (
    SELECT greatest(published_at, $__timeFrom()) AS time, weights FROM kept
    UNION ALL
    (SELECT least(now(), $__timeTo()), weights FROM kept ORDER BY weights_version DESC LIMIT 1)
)
SELECT time, weight.key AS metric, weight.value::float8 AS value
FROM shown, jsonb_each_text(weights) AS weight
ORDER BY time
