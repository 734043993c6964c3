-- What Postgres knows of the decisions of one experiment: the arm that was served, and whether a reward came.
SELECT
    decided.decision_id, arm.arm,
    EXISTS (
        SELECT FROM bandit_events AS rewarded
        WHERE rewarded.experiment_id = decided.experiment_id AND rewarded.decision_id = decided.decision_id
            AND rewarded.kind = 'reward' AND rewarded.decision_time = decided.decision_time
    ) AS rewarded
FROM bandit_events AS decided
JOIN experiment_arms AS arm USING (experiment_id, arm_index)
WHERE decided.experiment_id = %(experiment_id)s AND decided.kind = 'decision'
