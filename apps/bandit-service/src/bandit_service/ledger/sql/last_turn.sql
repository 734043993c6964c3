SELECT turn FROM leases WHERE experiment_id = %(experiment_id)s
