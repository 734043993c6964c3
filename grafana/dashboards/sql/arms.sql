SELECT
    posterior.arm,
    posterior.status,
    posterior.decisions,
    posterior.rewards,
    posterior.alpha / (posterior.alpha + posterior.beta) AS mean,
    best_arm.low,
    best_arm.high,
    best_arm.prob_best,
    best_arm.expected_loss,
    (
        SELECT (weights ->> posterior.arm)::float8
        FROM allocations
        WHERE experiment_id = ${experiment:sqlstring}
        ORDER BY weights_version DESC
        LIMIT 1
    ) AS weight
FROM posterior
LEFT JOIN best_arm ON best_arm.arm_index = posterior.arm_index
ORDER BY best_arm.prob_best DESC NULLS LAST, posterior.arm_index
