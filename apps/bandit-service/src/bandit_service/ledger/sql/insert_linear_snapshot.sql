INSERT INTO linear_snapshots (experiment_id, epoch, seq, arm_index, taken_at, state)
VALUES (%(experiment_id)s, %(epoch)s, %(seq)s, %(arm_index)s, to_timestamp(%(taken_at)s), %(state)s)
ON CONFLICT DO NOTHING
