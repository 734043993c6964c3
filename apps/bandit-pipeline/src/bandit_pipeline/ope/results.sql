INSERT INTO ope_results (
    dataset, behavior_policy, evaluation_policy, method, estimate, std_error, low, high, n, ess, coverage,
    on_policy_value, on_policy_std_error, relative_error, warnings, digest
)
VALUES (
    %(dataset)s, %(behavior_policy)s, %(evaluation_policy)s, %(method)s, %(estimate)s, %(std_error)s, %(low)s, %(high)s,
    %(n)s, %(ess)s, %(coverage)s, %(on_policy_value)s, %(on_policy_std_error)s, %(relative_error)s, %(warnings)s,
    %(digest)s
)
