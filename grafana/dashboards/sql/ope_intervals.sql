SELECT ranked.policy, ends.reward AS x, ranked.place AS place
FROM (
    SELECT
        evaluation_policy || ', from the log of ' || behavior_policy AS policy,
        low,
        estimate,
        high,
        rank() OVER (ORDER BY estimate, evaluation_policy, behavior_policy)::float8 AS place
    FROM ope_results_v1
    WHERE dataset = ${dataset:sqlstring} AND method = ${method:sqlstring}
) AS ranked
CROSS JOIN LATERAL (VALUES (low), (estimate), (high)) AS ends (reward)
WHERE ends.reward IS NOT NULL
ORDER BY ranked.place DESC, x
