-- One row of each experiment at least: when it was read, whether it has decisions to settle, and how often its versions
-- were folded into periods. Rows before an experiment's floor are merged into slot 0: the index passes over what is left
-- of them.
SELECT
    extract(epoch FROM statement_timestamp())::double precision, wanted.experiment_id, noted.is_unsettled,
    coalesce(leases.folds, 0), total.*
FROM unnest(%(experiment_ids)s::text[], %(floors)s::bigint[]) AS wanted (experiment_id, floor)
LEFT JOIN leases ON leases.experiment_id = wanted.experiment_id
LEFT JOIN LATERAL (
    SELECT true AS is_unsettled FROM unsettled WHERE experiment_id = wanted.experiment_id LIMIT 1
) AS noted ON true
LEFT JOIN LATERAL (
    SELECT
        arm_index, stratum, segment, weights_version,
        sum(decisions)::bigint, sum(rewards)::bigint, sum(reward_micro)::bigint, sum(square_micro)
    FROM (
        SELECT arm_index, stratum, segment, weights_version, decisions, rewards, reward_micro, square_micro
        FROM arm_totals WHERE experiment_id = wanted.experiment_id AND slot = 0
        UNION ALL
        SELECT arm_index, stratum, segment, weights_version, decisions, rewards, reward_micro, square_micro
        FROM arm_totals WHERE experiment_id = wanted.experiment_id AND slot >= greatest(wanted.floor, 1)
    ) AS each_slot
    GROUP BY arm_index, stratum, segment, weights_version
) AS total ON true
