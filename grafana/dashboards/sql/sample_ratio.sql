SELECT
    arm, arm_draws AS draws, represented, draws AS expected, represented / draws - 1 AS difference, p_value, counted_to
FROM sample_ratios_v1
WHERE experiment_id = ${experiment:sqlstring}
ORDER BY p_value, arm_index
