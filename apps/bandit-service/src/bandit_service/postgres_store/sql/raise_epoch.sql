UPDATE event_positions SET epoch = greatest(epoch, %(above)s) + 1
WHERE experiment_id = %(experiment_id)s
RETURNING epoch, committed_seq
