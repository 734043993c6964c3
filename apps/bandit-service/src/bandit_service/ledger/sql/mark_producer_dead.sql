UPDATE producers SET dead = true WHERE name = %(name)s AND heartbeat_at = %(heartbeat_at)s
