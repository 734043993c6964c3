SELECT
    experiment_id AS experiment,
    namespace,
    status,
    winner,
    policy,
    (SELECT count(*) FROM arms_v1 AS arms WHERE arms.experiment_id = experiments.experiment_id AND arms.status = 'active')
        AS arms,
    counted.decisions,
    counted.rewards,
    counted.mean AS best_mean,
    counted.arm AS best_mean_of,
    created_at,
    counted.taken_at AS counted_at
FROM experiments_v1 AS experiments
LEFT JOIN LATERAL (
    SELECT
        sum(decisions) AS decisions,
        sum(rewards) AS rewards,
        max(taken_at) AS taken_at,
        max(mean) AS mean,
        (array_agg(arm ORDER BY mean DESC, arm_index) FILTER (WHERE mean IS NOT NULL))[1] AS arm
    FROM posterior_snapshots_v1 AS snapshots
    WHERE snapshots.experiment_id = experiments.experiment_id
        AND taken_at = (
            SELECT max(taken_at)
            FROM posterior_snapshots_v1 AS newest
            WHERE newest.experiment_id = experiments.experiment_id
        )
) AS counted ON true
WHERE namespace IN (${namespace:sqlstring})
ORDER BY status = 'archived', updated_at DESC
