SELECT experiment_id AS experiment, max(deviation) AS deviation
FROM ratio
GROUP BY experiment_id
