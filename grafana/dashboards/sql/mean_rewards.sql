-- By the time of the decision: an interval is complete once its rewards have come in.
SELECT
    $__timeGroup(events.decision_time, $__interval) AS time,
    arms.arm AS metric,
    sum(events.reward_micro) / 1e6 / count(*) AS value
FROM bandit_events AS events
JOIN experiment_arms AS arms ON arms.experiment_id = events.experiment_id AND arms.arm_index = events.arm_index
WHERE events.experiment_id = ${experiment:sqlstring}
    AND events.believed
    AND $__timeFilter(events.decision_time)
GROUP BY 1, 2
ORDER BY 1
