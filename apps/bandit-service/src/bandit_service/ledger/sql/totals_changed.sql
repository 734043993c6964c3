SELECT experiment_id, sum(decisions)::bigint, sum(rewards)::bigint
FROM arm_totals
WHERE experiment_id = ANY(%(experiment_ids)s)
GROUP BY experiment_id
