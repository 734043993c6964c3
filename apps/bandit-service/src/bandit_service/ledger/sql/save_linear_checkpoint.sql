-- The row of the lease is locked by the caller.
INSERT INTO linear_checkpoints AS checkpoint (experiment_id, turn, taken_at, state)
VALUES (%(experiment_id)s, %(turn)s, clock_timestamp(), %(state)s)
ON CONFLICT (experiment_id) DO UPDATE SET turn = excluded.turn, taken_at = excluded.taken_at, state = excluded.state
WHERE checkpoint.turn < excluded.turn
