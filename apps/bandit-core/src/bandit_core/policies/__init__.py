"""Policies as probability vectors, one file each; a file in this folder is registered by being there."""

from importlib import import_module
from pkgutil import iter_modules

from bandit_core.policies.registry import make_policy, policy_fields, policy_names, policy_parameters, register

__all__ = ["make_policy", "policy_fields", "policy_names", "policy_parameters", "register"]


def _import_every_policy() -> None:
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")


_import_every_policy()
