SELECT status, winner, policy, created_at, conclusion
FROM experiments_v1
WHERE experiment_id = ${experiment:sqlstring}
