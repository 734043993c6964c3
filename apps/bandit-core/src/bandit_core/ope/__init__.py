"""Off-policy evaluation: what a policy would have earned, from decisions that another policy made and logged.

Needs the extra `bandit-core[ope]` (numba, polars). The document docs/off-policy-evaluation.md says which estimator to
trust when.
"""
