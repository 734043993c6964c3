SELECT arm, status, decisions, rewards, mean, low, high, prob_best, expected_loss, weight
FROM posteriors_v1
WHERE experiment_id = ${experiment:sqlstring}
ORDER BY prob_best DESC NULLS LAST, arm_index
