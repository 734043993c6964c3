-- Outcomes with the context that their decision was made in, the oldest decision first. What was decided elsewhere has
-- its context itself, and no propensity.
SELECT
    outcome.decision_id,
    outcome.arm_index,
    outcome.reward_micro,
    extract(epoch FROM outcome.decision_time)::double precision AS decided_at,
    extract(epoch FROM outcome.event_time)::double precision AS rewarded_at,
    origin.propensity,
    origin.context
FROM bandit_events AS outcome
JOIN bandit_events AS origin ON origin.experiment_id = outcome.experiment_id
    AND origin.decision_id = outcome.decision_id AND origin.position = outcome.position
    AND origin.decision_time = outcome.decision_time
    AND origin.kind = CASE WHEN outcome.stratum = 'direct' THEN 'reward' ELSE 'decision' END
WHERE outcome.experiment_id = %(experiment_id)s
    AND outcome.kind = 'outcome'
    AND outcome.part = ''
    AND outcome.stratum IN ('bandit', 'direct')
    AND origin.context IS NOT NULL
    AND outcome.reward_micro IS NOT NULL
ORDER BY outcome.decision_time, outcome.decision_id
