-- Fresh draws of the last 6 hours against the weights they were drawn from. A returning unit is no draw: only the
-- decision that was its first exposure counts. Decisions by context, by segment, over a subset of the arms or for several
-- of them were drawn from vectors of their own. Draws of a version that is not in allocations (before the first one, or
-- one that a failover lost) cannot be judged.
drawn AS (
    SELECT decided.experiment_id, decided.weights_version, decided.arm_index, count(*) AS decisions
    FROM bandit_events AS decided
    WHERE decided.kind = 'decision'
        AND decided.stratum = 'bandit'
        AND decided.vector IS NULL
        AND decided.decision_time > now() - interval '6 hours'
        AND decided.experiment_id IN (SELECT id FROM observed)
        AND EXISTS (
            SELECT
            FROM allocations
            WHERE allocations.experiment_id = decided.experiment_id
                AND allocations.weights_version = decided.weights_version
        )
        AND (decided.unit_hash IS NULL OR EXISTS (
            SELECT
            FROM exposures
            WHERE exposures.experiment_id = decided.experiment_id
                AND exposures.unit_hash = decided.unit_hash
                AND exposures.decision_id = decided.decision_id
                AND exposures.decision_time = decided.decision_time
        ))
    GROUP BY decided.experiment_id, decided.weights_version, decided.arm_index
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
    JOIN allocations USING (experiment_id, weights_version)
    CROSS JOIN jsonb_each_text(allocations.weights) AS weight
    GROUP BY versions.experiment_id, weight.key
),
ratio AS (
    SELECT
        expected.experiment_id, expected.arm, expected.draws, expected.expected, got.decisions AS observed,
        abs(got.decisions - expected.expected) / sqrt(expected.variance + 1) AS deviation
    FROM expected
    JOIN experiment_arms AS arms ON arms.experiment_id = expected.experiment_id AND arms.arm = expected.arm
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(drawn.decisions), 0)::float8 AS decisions
        FROM drawn
        WHERE drawn.experiment_id = expected.experiment_id AND drawn.arm_index = arms.arm_index
    ) AS got
)
