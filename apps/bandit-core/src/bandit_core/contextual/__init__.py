"""Policies that decide by a context: functions from linear beliefs and a context to a probability vector."""

from bandit_core.contextual.beliefs import LinearBeliefs
from bandit_core.contextual.linear_thompson import LinearThompson
from bandit_core.contextual.linucb import LinUCB
from bandit_core.contextual.policy import ContextualPolicy, linear_weights
from bandit_core.contextual.registry import contextual_policy_fields, contextual_policy_names, make_contextual_policy

__all__ = [
    "ContextualPolicy",
    "LinUCB",
    "LinearBeliefs",
    "LinearThompson",
    "contextual_policy_fields",
    "contextual_policy_names",
    "linear_weights",
    "make_contextual_policy",
]
