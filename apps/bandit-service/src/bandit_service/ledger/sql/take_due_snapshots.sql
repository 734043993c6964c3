-- Snapshots of experiments whose totals differ from those of their last snapshot. Which those are is known before the
-- first is taken: the function writes, so it must not be called for any other.
WITH due AS MATERIALIZED (
    SELECT wanted.experiment_id
    FROM unnest(%(experiment_ids)s::text[]) AS wanted (experiment_id)
    CROSS JOIN LATERAL (
        SELECT sum(decisions) + sum(rewards) + sum(holdout_decisions) + sum(holdout_rewards) AS events
        FROM arm_posteriors WHERE experiment_id = wanted.experiment_id
    ) AS now_there
    LEFT JOIN LATERAL (
        SELECT taken_at, sum(decisions) + sum(rewards) + sum(holdout_decisions) + sum(holdout_rewards) AS events
        FROM posterior_snapshots
        WHERE experiment_id = wanted.experiment_id AND taken_at = (
            SELECT max(taken_at) FROM posterior_snapshots WHERE experiment_id = wanted.experiment_id
        )
        GROUP BY taken_at
    ) AS last ON true
    WHERE now_there.events > 0
        AND now_there.events IS DISTINCT FROM last.events
        AND (last.taken_at IS NULL OR last.taken_at < clock_timestamp() - %(every)s * interval '1 second')
)
SELECT experiment_id FROM due WHERE take_posterior_snapshot(experiment_id) > 0
