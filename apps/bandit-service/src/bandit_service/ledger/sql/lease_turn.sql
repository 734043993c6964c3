SELECT turn FROM leases WHERE experiment_id = %(experiment_id)s AND holder = %(holder)s AND token = %(token)s
