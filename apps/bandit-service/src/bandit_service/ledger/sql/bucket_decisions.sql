-- A page of the decisions of a bucket that wait for the end of their window, behind the last one of the page before.
SELECT decision_id COLLATE "C" AS decision_id, (extract(epoch FROM decision_time) * 1000)::bigint
FROM bandit_events
WHERE experiment_id = %(experiment_id)s
    AND decision_time >= timestamptz 'epoch' + %(after_ms)s * interval '1 millisecond'
    AND decision_time < timestamptz 'epoch' + %(end_ms)s * interval '1 millisecond'
    AND kind IN ('decision', 'activation', 'reward')
    AND stratum IN ('bandit', 'holdout')
    AND (decision_time > timestamptz 'epoch' + %(after_ms)s * interval '1 millisecond'
        OR decision_id COLLATE "C" > %(after_id)s)
GROUP BY decision_time, decision_id COLLATE "C"
ORDER BY decision_time, decision_id COLLATE "C"
LIMIT %(decisions)s
