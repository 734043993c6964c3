SELECT decision_id, context::text
FROM bandit_events
WHERE experiment_id = %(experiment_id)s
    AND kind = 'decision'
    AND stratum = 'bandit'
    AND context IS NOT NULL
    AND decision_time >= timestamptz 'epoch' + %(since_ms)s * interval '1 millisecond'
