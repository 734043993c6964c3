SELECT name AS condition, value, threshold, progress
FROM stopping_conditions_v1
WHERE experiment_id = ${experiment:sqlstring}
ORDER BY place
