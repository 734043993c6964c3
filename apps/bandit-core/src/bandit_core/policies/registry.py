"""Policies by name, as configuration and HTTP requests give them."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, Final

from bandit_core.policies.base import Policy

_POLICIES: Final[dict[str, type[Policy]]] = {}


def register[P: type[Policy]](policy: P) -> P:
    """Make a policy known under its `name`; to be used as a class decorator, above `@dataclass`."""
    known = _POLICIES.setdefault(policy.name, policy)
    if known is not policy:
        raise ValueError(f"two policies are called {policy.name!r}: {known.__qualname__} and {policy.__qualname__}")
    return policy


def policy_names() -> tuple[str, ...]:
    """Return the names of all registered policies, in alphabetical order."""
    return tuple(sorted(_POLICIES))


def policy_fields(name: str) -> tuple[Field[Any], ...]:
    """Return the parameters of a registered policy, as fields of its dataclass."""
    return fields(_POLICIES[name])


def make_policy(name: str, params: Mapping[str, Any] | None = None) -> Policy:
    """Make the policy called `name` from its parameters.

    Raises ValueError, naming what is known, for an unknown name, an unknown or missing parameter, or a value out of its
    range.
    """
    if name not in _POLICIES:
        raise ValueError(f"unknown policy {name!r}, known are {', '.join(policy_names())}")
    policy, given = _POLICIES[name], dict(params or {})
    _check_parameters(name, {field.name: field for field in fields(policy)}, given)
    return policy(**given)


def policy_parameters(policy: Policy) -> dict[str, Any]:
    """Return the parameters of a policy by name, as `make_policy` takes them."""
    return {field.name: getattr(policy, field.name) for field in fields(policy)}


def _check_parameters(name: str, known: Mapping[str, Field[Any]], given: Mapping[str, Any]) -> None:
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        accepted = f"its parameters are {', '.join(known)}" if known else "it has none"
        raise ValueError(f"policy {name!r} has no parameter {', '.join(map(repr, unknown))}; {accepted}")
    missing = [key for key, field in known.items() if _is_required(field) and key not in given]
    if missing:
        raise ValueError(f"policy {name!r} needs {', '.join(missing)}")


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
