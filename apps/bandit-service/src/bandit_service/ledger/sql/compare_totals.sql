-- Keys whose totals differ from the sum of their events, and by how much, all versions of the weights together. One
-- statement, so one moment. Events of days before `since` are taken from folded_days.
SELECT
    experiment_id, arm_index, stratum, segment, sum(decisions)::bigint, sum(rewards)::bigint,
    sum(reward_micro)::bigint, sum(square_micro)::bigint
FROM (
    SELECT experiment_id, arm_index, stratum, segment, decisions, rewards, reward_micro, square_micro
    FROM arm_totals
    UNION ALL
    SELECT experiment_id, arm_index, stratum, segment, -decisions, -rewards, -reward_micro, -square_micro
    FROM dropped_totals
    UNION ALL
    SELECT experiment_id, arm_index, stratum, segment, -decisions, -rewards, -reward_micro, -square_micro
    FROM folded_days
    WHERE day < (%(since)s::timestamptz AT TIME ZONE 'UTC')::date
    UNION ALL
    SELECT
        experiment_id, arm_index, stratum, coalesce(segment, ''),
        -count(*) FILTER (WHERE kind IN ('decision', 'activation')),
        -count(*) FILTER (WHERE kind IN ('reward', 'outcome')),
        -coalesce(sum(reward_micro) FILTER (WHERE kind IN ('reward', 'outcome')), 0),
        -coalesce(sum(square_micro(reward_micro)) FILTER (WHERE kind IN ('reward', 'outcome')), 0)
    FROM bandit_events
    WHERE counted AND decision_time >= %(since)s
    GROUP BY 1, 2, 3, 4
) AS side (experiment_id, arm_index, stratum, segment, decisions, rewards, reward_micro, square_micro)
GROUP BY 1, 2, 3, 4
HAVING sum(decisions) <> 0 OR sum(rewards) <> 0 OR sum(reward_micro) <> 0 OR sum(square_micro) <> 0
ORDER BY 1, 2, 3, 4
