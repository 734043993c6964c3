-- Every arm's posterior now: its last snapshot, or else its prior, and the events that came after. Gaussian rewards have
-- none of this shape, and so no row.
since AS (
    SELECT epoch, seq
    FROM posterior_snapshots
    WHERE experiment_id = ${experiment:sqlstring}
    ORDER BY epoch DESC, seq DESC
    LIMIT 1
),
added AS (
    SELECT
        arm_index,
        coalesce(sum(reward_micro) FILTER (WHERE believed), 0) AS reward_micro,
        count(*) FILTER (WHERE believed) AS rewards,
        count(*) FILTER (WHERE stratum = 'bandit' AND (kind = 'activation' OR kind = 'decision' AND NOT deferred))
            AS decisions
    FROM bandit_events
    WHERE experiment_id = ${experiment:sqlstring}
        AND (epoch, seq) > (coalesce((SELECT epoch FROM since), -1), coalesce((SELECT seq FROM since), -1))
    GROUP BY arm_index
),
posterior AS (
    SELECT
        arms.arm,
        arms.arm_index,
        arms.status,
        ((coalesce(last.alpha_micro, arms.prior_alpha_micro) + coalesce(added.reward_micro, 0)) / 1e6)::float8 AS alpha,
        ((coalesce(last.beta_micro, arms.prior_beta_micro)
            + coalesce(added.rewards, 0) * 1000000 - coalesce(added.reward_micro, 0)) / 1e6)::float8 AS beta,
        coalesce(last.decisions, 0) + coalesce(added.decisions, 0) AS decisions,
        coalesce(last.rewards, 0) + coalesce(added.rewards, 0) AS rewards
    FROM experiment_arms AS arms
    LEFT JOIN posterior_snapshots AS last
        ON last.experiment_id = arms.experiment_id AND last.arm_index = arms.arm_index
        AND (last.epoch, last.seq) = (SELECT epoch, seq FROM since)
    LEFT JOIN added ON added.arm_index = arms.arm_index
    WHERE arms.experiment_id = ${experiment:sqlstring}
        AND NOT EXISTS (
            SELECT FROM experiments
            WHERE id = arms.experiment_id AND definition #>> '{rewards,distribution}' = 'gaussian'
        )
)
