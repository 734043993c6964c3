-- Number, sum and sum of squares of the rewards of each arm, before a moment and since, in the units they were sent in.
SELECT
    arm.arm, event.event_time >= %(since)s AS recent, count(*) AS rewards,
    sum(sent.reward) AS total, sum(sent.reward ^ 2) AS squares
FROM bandit_events AS event
JOIN experiment_arms AS arm USING (experiment_id, arm_index)
JOIN experiments ON experiments.id = event.experiment_id
CROSS JOIN LATERAL (
    SELECT event.reward_micro / 1e6::float8 * CASE
        WHEN experiments.definition #>> '{rewards,distribution}' = 'gaussian'
        THEN coalesce((experiments.definition #>> '{rewards,unit}')::float8, 1) ELSE 1
    END AS reward
) AS sent
WHERE event.experiment_id = %(experiment_id)s AND event.kind = 'reward' AND event.part = ''
    AND event.stratum = 'bandit' AND event.reward_micro IS NOT NULL AND NOT event.filled
GROUP BY arm.arm, recent
