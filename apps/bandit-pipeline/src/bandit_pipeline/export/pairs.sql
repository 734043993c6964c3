-- One row per decision of a day, with what came of it so far. Units are left out, so that erasing one need not go here.
SELECT
    event.decision_id, event.position, event.decision_time, arm.arm, arm.arm_index, decided.stratum,
    decided.propensity, decided.weights_version, decided.first_exposure, decided.context::text AS context,
    NOT decided.deferred OR bool_or(event.kind = 'activation') AS active,
    (max(event.reward_micro) FILTER (WHERE event.kind = 'reward')) / 1e6::float8 AS reward,
    max(event.event_time) FILTER (WHERE event.kind = 'reward') AS reward_time,
    (max(event.reward_micro) FILTER (WHERE event.kind = 'late')) / 1e6::float8 AS late_reward,
    bool_or(event.kind = 'close') AS closed
FROM bandit_events AS event
JOIN bandit_events AS decided USING (experiment_id, decision_id, position, decision_time)
JOIN experiment_arms AS arm ON arm.experiment_id = event.experiment_id AND arm.arm_index = decided.arm_index
WHERE event.experiment_id = %(experiment_id)s AND decided.kind = 'decision'
    AND event.decision_time >= %(day)s::timestamp AT TIME ZONE 'UTC'
    AND event.decision_time < (%(day)s::timestamp + interval '1 day') AT TIME ZONE 'UTC'
GROUP BY event.decision_id, event.position, event.decision_time, arm.arm, arm.arm_index, decided.stratum,
    decided.propensity, decided.weights_version, decided.first_exposure, decided.context::text, decided.deferred
ORDER BY event.decision_time, event.decision_id, event.position
