SELECT decision_id, arm_index, propensity, (extract(epoch FROM decision_time) * 1000)::bigint AS decision_ms,
    stratum, deferred, weights_version, coalesce(vector, 'published'), segment
FROM bandit_events
WHERE experiment_id = %(experiment_id)s
    AND kind = 'decision'
    AND decision_id NOT LIKE 'd1.%%'
    AND decision_time > timestamptz 'epoch' + %(since_ms)s * interval '1 millisecond'
