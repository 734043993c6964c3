-- Decisions with their reward and the context both stand for, the oldest first. A decision whose window closed without
-- a reward has the one it was given then. What was decided elsewhere has no propensity.
SELECT
    decision_id,
    arm_index,
    reward_micro,
    extract(epoch FROM decision_time)::double precision AS decided_at,
    extract(epoch FROM event_time)::double precision AS rewarded_at,
    propensity,
    context
FROM bandit_events
WHERE experiment_id = %(experiment_id)s
    AND believed
    AND context IS NOT NULL
    AND reward_micro IS NOT NULL
ORDER BY decision_time, decision_id
