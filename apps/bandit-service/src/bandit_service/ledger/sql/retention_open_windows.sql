-- Experiments with decisions before a moment whose reward window has still to be closed.
SELECT experiments.id
FROM experiments
WHERE experiments.definition ->> 'missing_reward' = 'zero'
    AND experiments.status <> 'archived'
    AND EXISTS (
        SELECT FROM {events} AS opened
        WHERE opened.experiment_id = experiments.id
            AND opened.decision_time < {before}
            AND opened.stratum = 'bandit'
            AND (opened.kind = 'activation' OR opened.kind = 'decision' AND NOT opened.deferred)
            AND NOT EXISTS (
                SELECT FROM {events} AS closed
                WHERE closed.experiment_id = opened.experiment_id
                    AND closed.decision_id = opened.decision_id
                    AND closed.kind = 'close'
                    AND closed.position = opened.position
                    AND closed.decision_time = opened.decision_time
            )
    )
ORDER BY experiments.id
