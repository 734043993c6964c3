-- One row per decision of a day, with what came of it so far.
SELECT
    decision_id, position, decision_time, arm, arm_index, stratum, propensity, weights_version, first_exposure,
    context::text AS context, active, reward, reward_time, late_reward, closed
FROM decisions_v1
WHERE experiment_id = %(experiment_id)s
    AND decision_time >= %(day)s::timestamp AT TIME ZONE 'UTC'
    AND decision_time < (%(day)s::timestamp + interval '1 day') AT TIME ZONE 'UTC'
ORDER BY decision_time, decision_id, position
