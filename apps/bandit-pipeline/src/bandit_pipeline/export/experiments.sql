-- now() is when this transaction began, before anything is read in it.
SELECT id AS experiment_id, now() AS read_at FROM experiments ORDER BY id
