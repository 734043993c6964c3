SELECT arm, arm_draws, draws, represented, p_value
FROM sample_ratios_v1
WHERE experiment_id = %(experiment_id)s AND p_value < %(alpha)s
ORDER BY arm_index
