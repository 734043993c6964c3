-- now() is when this transaction began, before anything is read in it.
SELECT experiment_id, now() AS read_at FROM experiments_v1 ORDER BY experiment_id
