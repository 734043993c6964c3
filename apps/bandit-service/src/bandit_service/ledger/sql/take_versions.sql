-- Merge the rows of slot 0 of versions before the one in force, of the `most` oldest, into those of version -1; return
-- what they held. Whoever calls it has locked the lease, and adds to weight_periods what comes back. The rows are locked
-- in the order of their key, as merge_totals.sql raises them; nobody else raises those of version -1.
WITH bounds AS (
    SELECT min(version) AS before
    FROM (
        SELECT version FROM weights WHERE experiment_id = %(experiment_id)s
        UNION ALL (
            SELECT DISTINCT weights_version FROM arm_totals
            WHERE experiment_id = %(experiment_id)s AND slot = 0 AND weights_version > 0
            ORDER BY 1 OFFSET %(most)s LIMIT 1
        )
    ) AS bound
    WHERE EXISTS (SELECT FROM weights WHERE experiment_id = %(experiment_id)s)
), old AS (
    SELECT arm_index, stratum, segment, weights_version
    FROM arm_totals
    WHERE experiment_id = %(experiment_id)s
        AND slot = 0
        AND weights_version > 0
        AND weights_version < (SELECT before FROM bounds)
    ORDER BY arm_index, stratum, segment, weights_version
    FOR UPDATE
), taken AS (
    DELETE FROM arm_totals AS total USING old
    WHERE total.experiment_id = %(experiment_id)s
        AND total.slot = 0
        AND total.arm_index = old.arm_index
        AND total.stratum = old.stratum
        AND total.segment = old.segment
        AND total.weights_version = old.weights_version
    RETURNING total.*
), raised AS (
    INSERT INTO arm_totals AS total (
        experiment_id, arm_index, stratum, segment, weights_version, slot, decisions, rewards, reward_micro,
        square_micro
    )
    SELECT
        experiment_id, arm_index, stratum, segment, -1, 0, sum(decisions), sum(rewards), sum(reward_micro),
        sum(square_micro)
    FROM taken
    GROUP BY 1, 2, 3, 4
    ORDER BY 1, 2, 3, 4
    ON CONFLICT (experiment_id, arm_index, stratum, segment, weights_version, slot) DO UPDATE SET
        decisions = total.decisions + excluded.decisions,
        rewards = total.rewards + excluded.rewards,
        reward_micro = total.reward_micro + excluded.reward_micro,
        square_micro = total.square_micro + excluded.square_micro
)
SELECT arm_index, stratum, segment, weights_version, decisions, rewards, reward_micro, square_micro FROM taken
