-- What a linear model learns from the outcomes of turns: each with the context of its decision, or of a direct reward.
SELECT outcome.arm_index, outcome.reward_micro, (extract(epoch FROM outcome.event_time) * 1000)::bigint, source.context
FROM bandit_events AS outcome
CROSS JOIN LATERAL (
    SELECT context::text AS context FROM bandit_events AS source
    WHERE source.experiment_id = outcome.experiment_id
        AND source.decision_id = outcome.decision_id
        AND source.decision_time = outcome.decision_time
        AND source.kind = CASE outcome.stratum WHEN 'direct' THEN 'reward' ELSE 'decision' END
        AND source.position = 0
        AND source.part = ''
        AND source.context IS NOT NULL
) AS source
WHERE outcome.experiment_id = %(experiment_id)s
    AND outcome.kind = 'outcome'
    AND outcome.stratum IN ('bandit', 'direct')
    AND outcome.batch > %(after)s
    AND outcome.batch <= %(until)s
ORDER BY outcome.batch, outcome.ord
