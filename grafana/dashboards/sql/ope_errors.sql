SELECT method, evaluation_policy, behavior_policy, estimate, on_policy_value, on_policy_std_error, relative_error
FROM ope_results_v1
WHERE dataset = ${dataset:sqlstring} AND relative_error IS NOT NULL
ORDER BY relative_error
