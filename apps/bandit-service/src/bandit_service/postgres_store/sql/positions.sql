SELECT experiment_id, epoch, committed_seq FROM event_positions WHERE experiment_id = ANY(%(experiment_ids)s)
