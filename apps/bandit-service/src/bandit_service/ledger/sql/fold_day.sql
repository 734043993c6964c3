-- Keep the sums of a day's events, for comparing them with the totals.
INSERT INTO folded_days (
    day, experiment_id, arm_index, stratum, segment, weights_version, decisions, rewards, reward_micro, square_micro
)
SELECT
    %(day)s::date, experiment_id, arm_index, stratum, coalesce(segment, ''), counted_version(weights_version, vector),
    count(*) FILTER (WHERE kind IN ('decision', 'activation')),
    count(*) FILTER (WHERE kind IN ('reward', 'outcome')),
    coalesce(sum(reward_micro) FILTER (WHERE kind IN ('reward', 'outcome')), 0),
    coalesce(sum(square_micro(reward_micro)) FILTER (WHERE kind IN ('reward', 'outcome')), 0)
FROM bandit_events
WHERE counted AND decision_time >= %(start)s AND decision_time < %(end)s
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT DO NOTHING
