"""The experiments of every schedule."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from bandit_core.rules.experiment import ArmDefinition, Experiment

from .scale import WINDOW

NAMES: Final = ("plain", "zero")
ARMS: Final = 3
SALT: Final = bytes(range(16))


def arm_id(index: int) -> str:
    return f"arm-{index}"


def definition(name: str, created_at: float) -> Experiment:
    """Return an experiment: `plain` counts rewards as they come, `zero` when the window of their decision ends."""
    return Experiment(
        id=name,
        namespace="default",
        status="running",
        revision=1,
        arms=tuple(ArmDefinition(index=index, id=arm_id(index)) for index in range(ARMS)),
        default_arm=arm_id(0),
        created_at=created_at,
        reward_window=WINDOW,
        missing_reward="zero" if name == "zero" else "ignore",
        update_every=2.0,
        salt=SALT.hex(),
        unit_salt=SALT.hex(),
    )


def stored_unit(unit: str) -> bytes:
    """Return what a unit is stored under."""
    return blake2b(unit.encode(), digest_size=16, key=SALT).digest()
