DELETE FROM refused_events WHERE recorded_at < {before} RETURNING *
