-- Lock the row of a lease; return how often versions were folded under it. No row comes back if the lease has gone.
SELECT folds FROM leases WHERE experiment_id = %(experiment_id)s AND holder = %(holder)s AND token = %(token)s FOR UPDATE
