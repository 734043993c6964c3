SELECT turn, state FROM linear_checkpoints WHERE experiment_id = %(experiment_id)s
