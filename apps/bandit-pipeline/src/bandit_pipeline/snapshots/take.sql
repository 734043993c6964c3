-- The last snapshot and what the events since then add, arm by arm, as a snapshot at the position Postgres has come to.
-- Everything is read at one moment, and the position is committed together with its events: so none is left out.
INSERT INTO posterior_snapshots (
    experiment_id, epoch, seq, arm_index, arm, taken_at, alpha_micro, beta_micro, decisions, rewards,
    holdout_decisions, holdout_rewards, holdout_reward_micro
)
WITH head AS (
    SELECT epoch, seq FROM posterior_snapshots
    WHERE experiment_id = %(experiment_id)s
    ORDER BY epoch DESC, seq DESC LIMIT 1
), added AS (
    SELECT
        arm_index,
        coalesce(sum(reward_micro) FILTER (WHERE believed), 0)::bigint AS reward_micro,
        count(*) FILTER (WHERE believed) AS rewards,
        count(*) FILTER (WHERE stratum = 'bandit' AND (kind = 'activation' OR kind = 'decision' AND NOT deferred))
            AS decisions,
        count(*) FILTER (WHERE stratum = 'holdout' AND (kind = 'activation' OR kind = 'decision' AND NOT deferred))
            AS holdout_decisions,
        count(*) FILTER (WHERE stratum = 'holdout' AND kind = 'reward' AND reward_micro IS NOT NULL)
            AS holdout_rewards,
        coalesce(sum(reward_micro) FILTER (WHERE stratum = 'holdout' AND kind = 'reward'), 0)::bigint
            AS holdout_reward_micro
    FROM bandit_events
    WHERE experiment_id = %(experiment_id)s
        AND (epoch, seq) > (coalesce((SELECT epoch FROM head), -1), coalesce((SELECT seq FROM head), -1))
    GROUP BY arm_index
)
SELECT
    arm.experiment_id, position.epoch, position.committed_seq, arm.arm_index, arm.arm, now(),
    coalesce(last.alpha_micro, arm.prior_alpha_micro) + coalesce(added.reward_micro, 0),
    coalesce(last.beta_micro, arm.prior_beta_micro)
        + coalesce(added.rewards, 0) * 1000000 - coalesce(added.reward_micro, 0),
    coalesce(last.decisions, 0) + coalesce(added.decisions, 0),
    coalesce(last.rewards, 0) + coalesce(added.rewards, 0),
    coalesce(last.holdout_decisions, 0) + coalesce(added.holdout_decisions, 0),
    coalesce(last.holdout_rewards, 0) + coalesce(added.holdout_rewards, 0),
    coalesce(last.holdout_reward_micro, 0) + coalesce(added.holdout_reward_micro, 0)
FROM experiment_arms AS arm
JOIN event_positions AS position USING (experiment_id)
LEFT JOIN posterior_snapshots AS last
    ON last.experiment_id = arm.experiment_id AND last.arm_index = arm.arm_index
    AND (last.epoch, last.seq) = (SELECT epoch, seq FROM head)
LEFT JOIN added ON added.arm_index = arm.arm_index
WHERE arm.experiment_id = %(experiment_id)s
ON CONFLICT DO NOTHING
RETURNING experiment_id, arm, seq, alpha_micro, beta_micro, decisions, rewards
