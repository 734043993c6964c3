-- One row per decision of a day, with what came of it so far. Units are left out, so that erasing one need not go here.
-- What the closing of a window filled in is left out too: `closed` says that the outcome counted, so `reward` is null
-- where a missing reward counted as zero. Rewards are in the units they were sent in.
WITH event AS (
    SELECT *
    FROM bandit_events
    WHERE experiment_id = %(experiment_id)s AND part = ''
        AND decision_time >= %(day)s::timestamp AT TIME ZONE 'UTC'
        AND decision_time < (%(day)s::timestamp + interval '1 day') AT TIME ZONE 'UTC'
), unit AS (
    SELECT CASE WHEN definition #>> '{rewards,distribution}' = 'gaussian'
        THEN coalesce((definition #>> '{rewards,unit}')::float8, 1) ELSE 1
    END AS size
    FROM experiments WHERE id = %(experiment_id)s
), came AS (
    SELECT
        decision_id, position, decision_time,
        bool_or(kind = 'activation' AND NOT filled) AS activated,
        max(reward_micro) FILTER (WHERE kind = 'reward' AND NOT filled) AS reward_micro,
        max(event_time) FILTER (WHERE kind = 'reward' AND NOT filled) AS reward_time,
        max(reward_micro) FILTER (WHERE kind = 'late') AS late_micro,
        bool_or(kind = 'outcome') AS closed
    FROM event
    GROUP BY decision_id, position, decision_time
)
SELECT
    decided.decision_id, decided.position, decided.decision_time, arm.arm, decided.arm_index, decided.stratum,
    decided.propensity, decided.weights_version,
    CASE WHEN decided.unit_hash IS NOT NULL
        THEN (exposure.decision_id, exposure.decision_time) IS NOT DISTINCT FROM (decided.decision_id, decided.decision_time)
    END AS first_exposure,
    decided.context::text AS context,
    NOT decided.deferred OR came.activated AS active,
    came.reward_micro / 1e6::float8 * unit.size AS reward,
    came.reward_time,
    came.late_micro / 1e6::float8 * unit.size AS late_reward,
    came.closed
FROM event AS decided
JOIN came USING (decision_id, position, decision_time)
JOIN experiment_arms AS arm ON arm.experiment_id = decided.experiment_id AND arm.arm_index = decided.arm_index
CROSS JOIN unit
LEFT JOIN exposures AS exposure
    ON exposure.experiment_id = decided.experiment_id AND exposure.unit_hash = decided.unit_hash
WHERE decided.kind = 'decision'
ORDER BY decided.decision_time, decided.decision_id, decided.position
