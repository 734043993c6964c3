-- Experiments with events, of decisions before a moment, that their newest snapshots do not hold.
SELECT experiments.id
FROM experiments
LEFT JOIN LATERAL (
    SELECT epoch, seq FROM posterior_snapshots
    WHERE experiment_id = experiments.id
    ORDER BY epoch DESC, seq DESC LIMIT 1
) AS snapshot ON true
LEFT JOIN LATERAL (
    SELECT epoch, seq FROM linear_snapshots
    WHERE experiment_id = experiments.id
    ORDER BY epoch DESC, seq DESC LIMIT 1
) AS models ON true
WHERE EXISTS (
    SELECT FROM {events} AS event
    WHERE event.experiment_id = experiments.id
        AND event.decision_time < {before}
        AND (
            (event.epoch, event.seq) > (coalesce(snapshot.epoch, -1), coalesce(snapshot.seq, -1))
            OR experiments.definition -> 'policy' ->> 'name' IN ('linear_thompson', 'linucb')
            AND event.believed AND event.context IS NOT NULL
            AND (event.epoch, event.seq) > (coalesce(models.epoch, -1), coalesce(models.seq, -1))
        )
)
ORDER BY experiments.id
