INSERT INTO posterior_snapshots (
    experiment_id, epoch, seq, arm_index, arm, taken_at, alpha_micro, beta_micro, decisions, rewards,
    holdout_decisions, holdout_rewards, holdout_reward_micro
)
VALUES (
    %(experiment_id)s, %(epoch)s, %(seq)s, %(arm_index)s, %(arm)s, to_timestamp(%(taken_at)s), %(alpha_micro)s,
    %(beta_micro)s, %(decisions)s, %(rewards)s, %(holdout_decisions)s, %(holdout_rewards)s, %(holdout_reward_micro)s
)
ON CONFLICT DO NOTHING
