SELECT decision_id, position, reward_micro FROM bandit_events
WHERE experiment_id = %(experiment_id)s
    AND kind = %(kind)s
    AND decision_time >= timestamptz 'epoch' + %(since_ms)s * interval '1 millisecond'
