SELECT epoch, committed_seq FROM event_positions WHERE experiment_id = %(experiment_id)s FOR SHARE
