-- One row at least, so that the time of reading is known.
SELECT moment.as_of, total.*
FROM (SELECT extract(epoch FROM statement_timestamp())::double precision AS as_of) AS moment
LEFT JOIN (
    SELECT
        experiment_id, arm_index, stratum, segment,
        sum(decisions)::bigint, sum(rewards)::bigint, sum(reward_micro)::bigint, sum(square_micro)
    FROM arm_totals
    WHERE experiment_id = ANY(%(experiment_ids)s)
    GROUP BY experiment_id, arm_index, stratum, segment
) AS total ON true
