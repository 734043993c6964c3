SELECT name, dead, extract(epoch FROM clock_timestamp() - heartbeat_at)::double precision, heartbeat_at FROM producers
ORDER BY name
