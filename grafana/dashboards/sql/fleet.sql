SELECT
    experiments.id AS experiment,
    experiments.namespace,
    experiments.status,
    experiments.winner,
    experiments.definition -> 'policy' ->> 'name' AS policy,
    (SELECT count(*) FROM experiment_arms AS arms WHERE arms.experiment_id = experiments.id AND arms.status = 'active')
        AS arms,
    counted.decisions,
    counted.rewards,
    counted.mean AS best_mean,
    counted.arm AS best_mean_of,
    experiments.created_at,
    counted.taken_at AS counted_at
FROM experiments
LEFT JOIN LATERAL (
    SELECT
        sum(decisions) AS decisions,
        sum(rewards) AS rewards,
        max(taken_at) AS taken_at,
        max(rate) AS mean,
        (array_agg(arm ORDER BY rate DESC, arm_index) FILTER (WHERE rate IS NOT NULL))[1] AS arm
    FROM posterior_snapshots AS snapshots
    CROSS JOIN LATERAL (
        -- Gaussian rewards have sums there that are no alpha and beta.
        SELECT CASE
            WHEN experiments.definition #>> '{rewards,distribution}' = 'gaussian' THEN NULL
            ELSE alpha_micro::float8 / (alpha_micro + beta_micro)
        END AS rate
    ) AS shown
    WHERE snapshots.experiment_id = experiments.id
        AND taken_at = (
            SELECT max(taken_at)
            FROM posterior_snapshots AS newest
            WHERE newest.experiment_id = experiments.id
        )
) AS counted ON true
WHERE experiments.namespace IN (${namespace:sqlstring})
ORDER BY experiments.status = 'archived', experiments.updated_at DESC
