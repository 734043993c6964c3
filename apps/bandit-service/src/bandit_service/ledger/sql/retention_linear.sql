-- Experiments whose linear model is read from outcomes of decisions before a moment, because no checkpoint holds them.
SELECT experiments.id
FROM experiments
LEFT JOIN linear_checkpoints AS checkpoint ON checkpoint.experiment_id = experiments.id
WHERE experiments.status <> 'archived'
    AND experiments.definition -> 'policy' ->> 'name' = ANY(%(contextual)s::text[])
    AND EXISTS (
        SELECT FROM bandit_events AS outcome
        WHERE outcome.experiment_id = experiments.id
            AND outcome.kind = 'outcome'
            AND outcome.batch > coalesce(checkpoint.turn, 0)
            AND outcome.decision_time < %(before)s
    )
ORDER BY experiments.id
