UPDATE event_positions SET epoch = epoch + 1 WHERE experiment_id = %(experiment_id)s RETURNING epoch, committed_seq
