-- Of the decisions whose reward window closed lately: how many there are, and how many of them got a reward in time.
SELECT
    count(*) AS decisions,
    count(*) FILTER (WHERE EXISTS (
        SELECT FROM bandit_events AS rewarded
        WHERE rewarded.experiment_id = decided.experiment_id AND rewarded.decision_id = decided.decision_id
            AND rewarded.kind = 'reward' AND rewarded.position = decided.position
            AND rewarded.decision_time = decided.decision_time AND NOT rewarded.filled
    )) AS rewarded
FROM bandit_events AS decided
WHERE decided.experiment_id = %(experiment_id)s AND decided.kind = 'decision' AND decided.stratum = 'bandit'
    AND (NOT decided.deferred OR EXISTS (
        SELECT FROM bandit_events AS activated
        WHERE activated.experiment_id = decided.experiment_id AND activated.decision_id = decided.decision_id
            AND activated.kind = 'activation' AND activated.decision_time = decided.decision_time
            AND NOT activated.filled
    ))
    AND decided.decision_time >= %(opened)s AND decided.decision_time < %(closed)s
