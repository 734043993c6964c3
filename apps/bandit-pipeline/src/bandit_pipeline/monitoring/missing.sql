-- Of the decisions whose reward window closed lately: how many there are, and how many of them got a reward in time.
SELECT count(*) AS decisions, count(rewarded.decision_id) AS rewarded
FROM bandit_events AS decided
LEFT JOIN bandit_events AS rewarded
    ON rewarded.experiment_id = decided.experiment_id AND rewarded.decision_id = decided.decision_id
    AND rewarded.decision_time = decided.decision_time AND rewarded.kind = 'reward'
LEFT JOIN bandit_events AS activated
    ON activated.experiment_id = decided.experiment_id AND activated.decision_id = decided.decision_id
    AND activated.decision_time = decided.decision_time AND activated.kind = 'activation'
WHERE decided.experiment_id = %(experiment_id)s AND decided.kind = 'decision' AND decided.stratum = 'bandit'
    AND (NOT decided.deferred OR activated.decision_id IS NOT NULL)
    AND decided.decision_time >= %(opened)s AND decided.decision_time < %(closed)s
