SELECT taken_at, arm, alpha, beta, mean, decisions, rewards, reward_sum
FROM posterior_snapshots_v1
WHERE experiment_id = %(experiment_id)s
    AND taken_at = (SELECT max(taken_at) FROM posterior_snapshots WHERE experiment_id = %(experiment_id)s)
ORDER BY arm_index
