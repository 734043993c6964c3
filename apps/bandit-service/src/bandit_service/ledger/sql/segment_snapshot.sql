SELECT segment, arm_index, rewards, reward_micro
FROM segment_snapshots
WHERE experiment_id = %(experiment_id)s AND epoch = %(epoch)s AND seq = %(seq)s
