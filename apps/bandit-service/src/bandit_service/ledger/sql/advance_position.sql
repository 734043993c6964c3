UPDATE event_positions SET committed_seq = %(seq)s, committed_at = now() WHERE experiment_id = %(experiment_id)s
