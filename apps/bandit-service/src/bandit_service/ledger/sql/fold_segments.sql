-- What the events after a snapshot add to the counts of segments.
SELECT segment, arm_index, count(*) AS rewards, sum(reward_micro)::bigint AS reward_micro
FROM bandit_events
WHERE experiment_id = %(experiment_id)s AND believed AND segment IS NOT NULL AND (epoch, seq) > (%(epoch)s, %(seq)s)
GROUP BY segment, arm_index
