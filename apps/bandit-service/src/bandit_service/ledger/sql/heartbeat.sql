-- Nothing comes back for a producer that another process has marked dead, or that a failover has lost.
-- The first beat on a timeline says when the processes that the failover has lost will have registered again.
WITH seen AS (
    INSERT INTO timelines (timeline, settled_at)
    SELECT ledger_timeline(), clock_timestamp() + %(dead_after)s * interval '1 second'
    ON CONFLICT DO NOTHING
)
UPDATE producers
SET heartbeat_at = clock_timestamp(), drained_to = to_timestamp(%(drained_to_ms)s / 1000.0), timeline = %(timeline)s
WHERE name = %(name)s AND NOT dead
RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::bigint, ledger_timeline(), ledger_is_whole()
