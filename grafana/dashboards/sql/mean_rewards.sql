-- By the time of the decision: an interval is complete once its rewards have come in.
SELECT $__timeGroup(decision_time, $__interval) AS time, arm AS metric, avg(reward) AS value
FROM outcomes_v1
WHERE experiment_id = ${experiment:sqlstring} AND stratum IN ('bandit', 'direct') AND $__timeFilter(decision_time)
GROUP BY 1, 2
ORDER BY 1
