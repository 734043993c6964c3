-- Add the sums of events that are about to go to dropped_totals.
INSERT INTO dropped_totals AS dropped (
    experiment_id, arm_index, stratum, segment, weights_version, slot, decisions, rewards, reward_micro, square_micro
)
SELECT
    experiment_id, arm_index, stratum, coalesce(segment, ''), counted_version(weights_version, vector), 0,
    count(*) FILTER (WHERE kind IN ('decision', 'activation')),
    count(*) FILTER (WHERE kind IN ('reward', 'outcome')),
    coalesce(sum(reward_micro) FILTER (WHERE kind IN ('reward', 'outcome')), 0),
    coalesce(sum(square_micro(reward_micro)) FILTER (WHERE kind IN ('reward', 'outcome')), 0)
FROM {events}
WHERE counted AND decision_time < {before}
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (experiment_id, arm_index, stratum, segment, weights_version, slot) DO UPDATE SET
    decisions = dropped.decisions + excluded.decisions,
    rewards = dropped.rewards + excluded.rewards,
    reward_micro = dropped.reward_micro + excluded.reward_micro,
    square_micro = dropped.square_micro + excluded.square_micro
