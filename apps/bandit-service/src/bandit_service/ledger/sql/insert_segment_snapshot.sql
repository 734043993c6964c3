INSERT INTO segment_snapshots (experiment_id, epoch, seq, segment, arm_index, rewards, reward_micro)
VALUES (%(experiment_id)s, %(epoch)s, %(seq)s, %(segment)s, %(arm_index)s, %(rewards)s, %(reward_micro)s)
ON CONFLICT DO NOTHING
