-- Processes that are dead, or seem so, and for how long (s) each has not said that it has written everything.
SELECT name, extract(epoch FROM clock_timestamp() - drained_to)::double precision
FROM producers
WHERE dead OR heartbeat_at < clock_timestamp() - interval '60 seconds'
ORDER BY name
