-- Only the newest is ever read.
DELETE FROM linear_snapshots WHERE experiment_id = %(experiment_id)s AND (epoch, seq) < (%(epoch)s, %(seq)s)
