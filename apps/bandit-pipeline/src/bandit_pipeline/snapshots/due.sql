-- How many events each experiment has had since its last snapshot. Sequence numbers go on when an epoch begins.
SELECT
    position.experiment_id, position.epoch, position.committed_seq AS seq,
    position.committed_seq - coalesce(snapshot.seq, 0) AS new_events
FROM event_positions AS position
LEFT JOIN LATERAL (
    SELECT seq FROM posterior_snapshots
    WHERE experiment_id = position.experiment_id
    ORDER BY epoch DESC, seq DESC LIMIT 1
) AS snapshot ON true
WHERE position.committed_seq - coalesce(snapshot.seq, 0) >= %(min_events)s
ORDER BY position.experiment_id
