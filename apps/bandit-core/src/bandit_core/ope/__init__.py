"""Off-policy evaluation: what a policy would have earned, from decisions that another policy made and logged.

Needs the extra `bandit-core[ope]` (numba, polars), except for the three quick estimates from an exported frame, `ips`,
`doubly_robust` and `replay`. The document docs/off-policy-evaluation.md says which estimator to trust when.
"""

from bandit_core.ope.frames import doubly_robust, ips, replay

__all__ = ["doubly_robust", "ips", "replay"]
