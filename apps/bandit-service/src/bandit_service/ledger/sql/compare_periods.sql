-- What was folded into periods by version of the weights, as the events have it: their sums without what arm_totals still
-- has. And the periods themselves. One statement, so one moment. Events of days before `since` are taken from folded_days.
WITH folded AS (
    SELECT
        experiment_id, weights_version, arm_index, stratum, sum(rewards)::bigint, sum(reward_micro)::bigint,
        sum(square_micro), NULL
    FROM (
        SELECT experiment_id, weights_version, arm_index, stratum, -rewards, -reward_micro, -square_micro
        FROM arm_totals
        UNION ALL
        SELECT experiment_id, weights_version, arm_index, stratum, rewards, reward_micro, square_micro
        FROM dropped_totals
        UNION ALL
        SELECT experiment_id, weights_version, arm_index, stratum, rewards, reward_micro, square_micro
        FROM folded_days
        WHERE day < (%(since)s::timestamptz AT TIME ZONE 'UTC')::date
        UNION ALL
        SELECT
            experiment_id, counted_version(weights_version, vector), arm_index, stratum, count(*),
            coalesce(sum(reward_micro), 0), coalesce(sum(square_micro(reward_micro)), 0)
        FROM bandit_events
        WHERE counted AND kind IN ('reward', 'outcome') AND decision_time >= %(since)s
        GROUP BY 1, 2, 3, 4
    ) AS side (experiment_id, weights_version, arm_index, stratum, rewards, reward_micro, square_micro)
    WHERE weights_version > 0 AND stratum IN ('bandit', 'holdout')
    GROUP BY 1, 2, 3, 4
    HAVING sum(rewards) <> 0 OR sum(reward_micro) <> 0 OR sum(square_micro) <> 0
)
SELECT * FROM folded
UNION ALL
SELECT experiment_id, first_version, NULL, NULL, NULL, NULL, NULL, sums::text FROM weight_periods
