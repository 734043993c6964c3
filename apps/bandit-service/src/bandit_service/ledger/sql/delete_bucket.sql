-- Only while nothing was written for it since: what came later has raised the count. After a failover the outcomes of
-- the closing may be lost, and the bucket has to be closed again.
DELETE FROM open_buckets USING unnest(%(slots)s::bigint[], %(events)s::bigint[]) AS closed (slot, events)
WHERE experiment_id = %(experiment_id)s
    AND bucket = timestamptz 'epoch' + %(bucket_ms)s * interval '1 millisecond'
    AND open_buckets.slot = closed.slot
    AND open_buckets.events = closed.events
    AND ledger_timeline() = %(timeline)s
