SELECT evaluation_policy, behavior_policy, method, estimate, low, high, std_error, n, ess, coverage, warnings, evaluated_at
FROM ope_results_v1
WHERE dataset = ${dataset:sqlstring}
ORDER BY evaluation_policy, behavior_policy, method
