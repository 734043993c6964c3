"""The requests the service in memory understands; other fields are refused, so no test passes by a feature it lacks."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from bandit_sdk.testing.refusal import wrong


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The way all bodies are."""


class Prior(Body, frozen=True):
    """The Beta distribution believed before any data."""

    alpha: float = 1.0
    beta: float = 1.0


class Arm(Body, frozen=True):
    """A variant."""

    id: str
    prior: Prior = Prior()


class Policy(Body, frozen=True):
    """How beliefs become weights."""

    name: str = "thompson"
    params: dict[str, Any] = {}


class Limits(Body, frozen=True):
    """Guardrails: a preset, and what replaces its limits."""

    preset: Literal["safe", "neutral", "explore"] = "neutral"
    min_trials: int | None = None
    max_step: float | None = None
    min_weight: float | None = None
    cooldown: float | None = None


class NewExperiment(Body, frozen=True):
    """An experiment to create."""

    experiment_id: str
    arms: list[str | Arm]
    description: str = ""
    default_arm: str | None = None
    policy: Policy = Policy()
    guardrails: Limits = Limits()
    reward_window: float = 86_400.0
    reward_model: dict[str, Any] | None = None


class Select(Body, frozen=True):
    """Ask for an arm, or for a slate of k."""

    experiment_id: str
    unit_id: str | None = None
    k: int = 1
    eligible_arms: list[str] | None = None
    exclude_arms: list[str] | None = None
    decision_id: str | None = None
    defer_activation: bool = False
    request_id: str | None = None


class Reward(Body, frozen=True):
    """What came of a decision, or of an arm."""

    decision_id: str | None = None
    experiment_id: str | None = None
    arm: str | None = None
    reward_id: str | None = None
    reward: float | None = None
    outcome: Any = None
    position: int = 0


class Activate(Body, frozen=True):
    """A deferred decision was shown."""

    decision_id: str
    experiment_id: str | None = None


class Batch(Body, frozen=True):
    """Several requests, each with its own answer."""

    items: list[msgspec.Raw]


class Because(Body, frozen=True):
    """Why a state changes."""

    reason: str
    winner: str | None = None


def decode[T: Body](kind: type[T], content: bytes) -> T:
    """Return a body; raise a Refusal that says what is wrong with it."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise wrong("body", f"{error}. The service in memory takes less than the real one") from None
