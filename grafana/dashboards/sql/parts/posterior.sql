-- Every arm's posterior now. Gaussian rewards have none of this shape, and so no row.
posterior AS (
    SELECT
        arm, arm_index, posteriors.status, (alpha_micro / 1e6)::float8 AS alpha, (beta_micro / 1e6)::float8 AS beta,
        decisions, rewards
    FROM arm_posteriors AS posteriors
    JOIN experiments ON experiments.id = posteriors.experiment_id
    WHERE posteriors.experiment_id = ${experiment:sqlstring}
        AND experiments.definition #>> '{rewards,distribution}' IS DISTINCT FROM 'gaussian'
)
