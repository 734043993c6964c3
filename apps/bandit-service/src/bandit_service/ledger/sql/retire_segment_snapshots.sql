-- Only the newest is ever read.
DELETE FROM segment_snapshots WHERE experiment_id = %(experiment_id)s AND (epoch, seq) < (%(epoch)s, %(seq)s)
