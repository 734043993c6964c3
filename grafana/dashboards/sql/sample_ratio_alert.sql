SELECT experiment_id AS experiment, min(p_value) AS p_value
FROM sample_ratios_v1
JOIN experiments_v1 USING (experiment_id)
WHERE status = 'running'
GROUP BY experiment_id
