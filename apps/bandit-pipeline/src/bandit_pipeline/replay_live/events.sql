-- What Postgres knows of the decisions of one experiment: the arm that was served, whether a reward came, and whether
-- it has counted.
SELECT decision_id, arm, reward_time IS NOT NULL AS rewarded, closed
FROM decisions_v1
WHERE experiment_id = %(experiment_id)s
