DELETE FROM exposed_units WHERE experiment_id = %(experiment_id)s AND unit_hash = ANY(%(hashes)s)
