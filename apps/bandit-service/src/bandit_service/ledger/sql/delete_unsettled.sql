DELETE FROM unsettled WHERE experiment_id = %(experiment_id)s AND id = ANY(%(ids)s)
