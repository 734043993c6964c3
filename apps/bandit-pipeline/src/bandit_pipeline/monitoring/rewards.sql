-- Number, sum and sum of squares of the rewards of each arm, before a moment and since.
SELECT
    arm.arm, event.event_time >= %(since)s AS recent, count(*) AS rewards,
    sum(event.reward_micro / 1e6::float8) AS total, sum((event.reward_micro / 1e6::float8) ^ 2) AS squares
FROM bandit_events AS event
JOIN experiment_arms AS arm USING (experiment_id, arm_index)
WHERE event.experiment_id = %(experiment_id)s AND event.kind = 'reward' AND event.stratum = 'bandit'
    AND event.reward_micro IS NOT NULL
GROUP BY arm.arm, recent
