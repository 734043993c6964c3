-- Only while it sends no heartbeat, and on the timeline on which others had the time to send one.
UPDATE producers SET dead = true
WHERE name = %(name)s AND heartbeat_at = %(heartbeat_at)s AND ledger_timeline() = %(timeline)s
