-- Number, sum and sum of squares of the rewards of each arm, before a moment and since.
SELECT arm, received_at >= %(since)s AS recent, count(*) AS rewards, sum(reward) AS total, sum(reward ^ 2) AS squares
FROM rewards_v1
WHERE experiment_id = %(experiment_id)s AND stratum = 'bandit' AND NOT late
GROUP BY arm, recent
