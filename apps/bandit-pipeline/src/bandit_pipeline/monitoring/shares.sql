SELECT arm.arm, count(event.decision_id) AS decisions
FROM experiment_arms AS arm
LEFT JOIN bandit_events AS event
    ON event.experiment_id = arm.experiment_id AND event.arm_index = arm.arm_index AND event.kind = 'decision'
    AND event.stratum = 'bandit' AND event.decision_time >= %(since)s
WHERE arm.experiment_id = %(experiment_id)s AND arm.status = 'active'
GROUP BY arm.arm, arm.arm_index
ORDER BY arm.arm_index
