INSERT INTO ope_results (
    experiment_id, dataset, digest, behavior_policy, evaluation_policy, method, estimate, std_error, low, high, n, ess,
    coverage, on_policy_value, on_policy_std_error, relative_error, warnings
)
SELECT
    %(experiment_id)s, %(dataset)s, %(digest)s, behavior_policy, evaluation_policy, method, estimate, std_error, low,
    high, n, ess, coverage, on_policy_value, on_policy_std_error, relative_error, warnings
FROM jsonb_populate_recordset(NULL::ope_results, %(results)s)
