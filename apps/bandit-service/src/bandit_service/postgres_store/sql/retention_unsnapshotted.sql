-- Experiments with events, of decisions before a moment, that their newest snapshot does not hold.
SELECT experiments.id
FROM experiments
LEFT JOIN LATERAL (
    SELECT epoch, seq FROM posterior_snapshots
    WHERE experiment_id = experiments.id
    ORDER BY epoch DESC, seq DESC LIMIT 1
) AS snapshot ON true
WHERE EXISTS (
    SELECT FROM {events} AS event
    WHERE event.experiment_id = experiments.id
        AND (event.epoch, event.seq) > (coalesce(snapshot.epoch, -1), coalesce(snapshot.seq, -1))
        AND event.decision_time < {before}
)
ORDER BY experiments.id
