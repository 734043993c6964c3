-- Fresh draws of the last 6 hours against the weights they were drawn from. Kept allocations are within one point of the
-- weights in force, which `slack` allows for. A returning unit is no draw: only its first exposure counts. Decisions by
-- context, by segment, over a subset of the arms or for several of them were drawn from vectors of their own.
drawn AS (
    SELECT experiment_id, weights_version, arm_index, count(*) AS decisions
    FROM bandit_events
    WHERE kind = 'decision'
        AND stratum = 'bandit'
        AND first_exposure IS NOT FALSE
        AND vector IS NULL
        AND decision_time > now() - interval '6 hours'
        AND experiment_id IN (SELECT id FROM observed)
    GROUP BY experiment_id, weights_version, arm_index
),
versions AS (
    SELECT experiment_id, weights_version, sum(decisions) AS decisions FROM drawn GROUP BY experiment_id, weights_version
),
expected AS (
    SELECT
        versions.experiment_id,
        weight.key AS arm,
        sum(versions.decisions) AS draws,
        sum(versions.decisions * weight.value::float8) AS expected,
        sum(versions.decisions * weight.value::float8 * (1 - weight.value::float8)) AS variance
    FROM versions
    CROSS JOIN LATERAL (
        SELECT weights
        FROM allocations
        WHERE allocations.experiment_id = versions.experiment_id
            AND allocations.weights_version <= versions.weights_version
        ORDER BY allocations.weights_version DESC
        LIMIT 1
    ) AS kept,
    jsonb_each_text(kept.weights) AS weight
    GROUP BY versions.experiment_id, weight.key
),
ratio AS (
    SELECT
        expected.experiment_id, expected.arm, expected.draws, expected.expected, got.decisions AS observed,
        greatest(0, abs(got.decisions - expected.expected) - slack) / sqrt(expected.variance + 1) AS deviation
    FROM expected
    JOIN experiment_arms AS arms ON arms.experiment_id = expected.experiment_id AND arms.arm = expected.arm
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(drawn.decisions), 0)::float8 AS decisions
        FROM drawn
        WHERE drawn.experiment_id = expected.experiment_id AND drawn.arm_index = arms.arm_index
    ) AS got
    CROSS JOIN LATERAL (SELECT 0.01 * expected.draws::float8 AS slack) AS allowed
)
