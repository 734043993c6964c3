-- The oldest bucket of an experiment, if its decisions' windows have ended and every event received before that is
-- written: a reward that was queued in time is never overtaken. A producer that died counts until its stream is
-- written, which is when its row goes.
SELECT ledger_timeline(), (extract(epoch FROM bucket) * 1000)::bigint, array_agg(slot), array_agg(events)
FROM open_buckets
CROSS JOIN LATERAL (SELECT bucket + %(open_ms)s * interval '1 millisecond' AS ends) AS window_
WHERE experiment_id = %(experiment_id)s
    AND bucket = (SELECT min(bucket) FROM open_buckets WHERE experiment_id = %(experiment_id)s)
    AND ends < timestamptz 'epoch' + %(now_ms)s * interval '1 millisecond'
    AND ends < (SELECT min(drained_to) FROM producers)
    AND ledger_is_whole()
GROUP BY bucket
