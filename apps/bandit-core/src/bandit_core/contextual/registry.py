"""Contextual policies by name, as configuration and HTTP requests give them."""

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, Final

from bandit_core.contextual.linear_thompson import LinearThompson
from bandit_core.contextual.linucb import LinUCB
from bandit_core.contextual.policy import ContextualPolicy

_POLICIES: Final[Mapping[str, type[LinearThompson | LinUCB]]] = {
    policy.name: policy for policy in (LinearThompson, LinUCB)
}


def contextual_policy_names() -> tuple[str, ...]:
    """Return the names of all contextual policies, in alphabetical order."""
    return tuple(sorted(_POLICIES))


def contextual_policy_fields(name: str) -> tuple[Field[Any], ...]:
    """Return the parameters of a contextual policy, as fields of its dataclass."""
    return fields(_POLICIES[name])


def make_contextual_policy(name: str, params: Mapping[str, Any] | None = None) -> ContextualPolicy:
    """Make the contextual policy called `name` from its parameters.

    Raises ValueError, naming what is known, for an unknown name, an unknown parameter, or a value out of its range.
    """
    if name not in _POLICIES:
        raise ValueError(f"unknown policy {name!r}, known are {', '.join(contextual_policy_names())}")
    policy, given = _POLICIES[name], dict(params or {})
    known = [field.name for field in fields(policy)]
    if unknown := sorted(given.keys() - set(known)):
        raise ValueError(f"policy {name!r} has no parameter {unknown[0]!r}; its parameters are {', '.join(known)}")
    return policy(**given)
