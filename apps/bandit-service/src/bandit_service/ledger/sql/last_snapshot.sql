SELECT epoch, seq, arm_index, alpha_micro, beta_micro, decisions, rewards,
    holdout_decisions, holdout_rewards, holdout_reward_micro
FROM posterior_snapshots
WHERE experiment_id = %(experiment_id)s
    AND (epoch, seq) = (
        SELECT epoch, seq FROM posterior_snapshots
        WHERE experiment_id = %(experiment_id)s
        ORDER BY epoch DESC, seq DESC LIMIT 1
    )
