-- What the events after a snapshot add, per arm. An ignored outcome is an event with no reward: it is never believed.
SELECT
    arm_index,
    coalesce(sum(reward_micro) FILTER (WHERE believed), 0)::bigint AS reward_micro,
    coalesce(sum((reward_micro * reward_micro + 500000) / 1000000) FILTER (WHERE believed AND %(is_gaussian)s), 0)::bigint
        AS square_micro,
    count(*) FILTER (WHERE believed) AS rewards,
    count(*) FILTER (WHERE stratum = 'bandit' AND (kind = 'activation' OR kind = 'decision' AND NOT deferred))
        AS decisions,
    count(*) FILTER (WHERE stratum = 'holdout' AND (kind = 'activation' OR kind = 'decision' AND NOT deferred))
        AS holdout_decisions,
    count(*) FILTER (WHERE stratum = 'holdout' AND kind = 'reward' AND reward_micro IS NOT NULL) AS holdout_rewards,
    coalesce(sum(reward_micro) FILTER (WHERE stratum = 'holdout' AND kind = 'reward'), 0)::bigint
        AS holdout_reward_micro
FROM bandit_events
WHERE experiment_id = %(experiment_id)s AND (epoch, seq) > (%(epoch)s, %(seq)s)
GROUP BY arm_index
