-- One row at least, so that the time of reading is known. Rows before an experiment's floor are merged into slot 0: the
-- index passes over what is left of them.
SELECT moment.as_of, total.*
FROM (SELECT extract(epoch FROM statement_timestamp())::double precision AS as_of) AS moment
LEFT JOIN (
    SELECT
        experiment_id, arm_index, stratum, segment,
        sum(decisions)::bigint, sum(rewards)::bigint, sum(reward_micro)::bigint, sum(square_micro)
    FROM unnest(%(experiment_ids)s::text[], %(floors)s::bigint[]) AS wanted (experiment_id, floor)
    CROSS JOIN LATERAL (
        SELECT arm_index, stratum, segment, decisions, rewards, reward_micro, square_micro
        FROM arm_totals WHERE experiment_id = wanted.experiment_id AND slot = 0
        UNION ALL
        SELECT arm_index, stratum, segment, decisions, rewards, reward_micro, square_micro
        FROM arm_totals WHERE experiment_id = wanted.experiment_id AND slot >= greatest(wanted.floor, 1)
    ) AS each_slot
    GROUP BY experiment_id, arm_index, stratum, segment
) AS total ON true
