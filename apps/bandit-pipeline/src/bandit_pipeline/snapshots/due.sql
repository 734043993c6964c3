-- How far the totals of each experiment have moved since its newest snapshot. They move back where a failover of
-- Postgres lost events that are being written again.
SELECT total.experiment_id, total.events, abs(total.events - coalesce(newest.events, 0)) AS new_events
FROM (
    SELECT experiment_id, sum(decisions + rewards + holdout_decisions + holdout_rewards)::bigint AS events
    FROM arm_posteriors GROUP BY experiment_id
) AS total
LEFT JOIN LATERAL (
    SELECT sum(decisions + rewards + holdout_decisions + holdout_rewards)::bigint AS events
    FROM posterior_snapshots
    WHERE experiment_id = total.experiment_id
        AND taken_at = (SELECT max(taken_at) FROM posterior_snapshots WHERE experiment_id = total.experiment_id)
) AS newest ON true
WHERE abs(total.events - coalesce(newest.events, 0)) >= %(min_events)s
ORDER BY total.experiment_id
