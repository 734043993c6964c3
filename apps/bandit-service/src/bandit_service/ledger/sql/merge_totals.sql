-- Merge rows of slots before one into slot 0; return the experiments that had any. The rows are locked in the order of
-- their key, as batches do. The statement waits for one that still raises such a row, and takes what that leaves.
WITH old AS (
    SELECT experiment_id, arm_index, stratum, segment, weights_version, slot
    FROM unnest(%(experiment_ids)s::text[]) AS wanted (experiment_id)
    JOIN arm_totals USING (experiment_id)
    WHERE slot > 0 AND slot < %(before)s
    ORDER BY experiment_id, arm_index, stratum, segment, weights_version, slot
    FOR UPDATE OF arm_totals
), merged AS (
    DELETE FROM arm_totals AS total USING old
    WHERE total.experiment_id = old.experiment_id
        AND total.arm_index = old.arm_index
        AND total.stratum = old.stratum
        AND total.segment = old.segment
        AND total.weights_version = old.weights_version
        AND total.slot = old.slot
    RETURNING total.*
), raised AS (
    INSERT INTO arm_totals AS total (
        experiment_id, arm_index, stratum, segment, weights_version, slot, decisions, rewards, reward_micro,
        square_micro
    )
    SELECT
        experiment_id, arm_index, stratum, segment, weights_version, 0, sum(decisions), sum(rewards),
        sum(reward_micro), sum(square_micro)
    FROM merged
    GROUP BY 1, 2, 3, 4, 5
    ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (experiment_id, arm_index, stratum, segment, weights_version, slot) DO UPDATE SET
        decisions = total.decisions + excluded.decisions,
        rewards = total.rewards + excluded.rewards,
        reward_micro = total.reward_micro + excluded.reward_micro,
        square_micro = total.square_micro + excluded.square_micro
)
SELECT DISTINCT experiment_id FROM merged
