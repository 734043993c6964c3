DELETE FROM ope_results WHERE experiment_id = %(experiment_id)s AND dataset = %(dataset)s
