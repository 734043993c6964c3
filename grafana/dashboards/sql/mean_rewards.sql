-- By the time of the decision: an interval is complete once its rewards have come in. In the units rewards are sent in.
SELECT
    $__timeGroup(events.decision_time, $__interval) AS time,
    arms.arm AS metric,
    sum(events.reward_micro) / 1e6::float8 / count(*) * CASE
        WHEN min(experiments.definition #>> '{rewards,distribution}') = 'gaussian'
        THEN coalesce(min((experiments.definition #>> '{rewards,unit}')::float8), 1) ELSE 1
    END AS value
FROM bandit_events AS events
JOIN experiments ON experiments.id = events.experiment_id
JOIN experiment_arms AS arms ON arms.experiment_id = events.experiment_id AND arms.arm_index = events.arm_index
WHERE events.experiment_id = ${experiment:sqlstring}
    AND events.counted
    AND events.kind IN ('reward', 'outcome')
    AND events.stratum IN ('bandit', 'direct')
    AND $__timeFilter(events.decision_time)
GROUP BY 1, 2
ORDER BY 1
