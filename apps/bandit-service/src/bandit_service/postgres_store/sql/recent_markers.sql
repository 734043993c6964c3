SELECT decision_id, kind, reward_micro FROM bandit_events
WHERE experiment_id = %(experiment_id)s
    AND kind IN ('reward', 'activation', 'late')
    AND decision_time > timestamptz 'epoch' + %(since_ms)s * interval '1 millisecond'
