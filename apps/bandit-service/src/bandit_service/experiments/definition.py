"""What an experiment is: the typed document Postgres keeps as the truth and Redis mirrors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

MICRO = 1_000_000
DEFAULT_NAMESPACE = "default"

Status = Literal["running", "paused", "concluded", "archived"]
ArmStatus = Literal["active", "retired"]
MissingReward = Literal["ignore", "zero"]
Assignment = Literal["draw", "sticky"]


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the immutable documents that are stored as JSON."""


class ArmDefinition(Value, frozen=True):
    """One arm. Its index never changes and is never used again, so it can name keys and branches.

    `newcomer`: it was added while the experiment ran, so its want of data holds nobody else.
    """

    index: int
    id: str
    prior_alpha_micro: int = MICRO
    prior_beta_micro: int = MICRO
    status: ArmStatus = "active"
    newcomer: bool = False


class PolicyDefinition(Value, frozen=True):
    """A registered policy by name, with its parameters."""

    name: str = "thompson"
    params: Mapping[str, float | Mapping[str, float]] = {}


class GuardrailsDefinition(Value, frozen=True):
    """A preset, and the limits that replace the preset's."""

    preset: Literal["safe", "neutral", "explore"] = "neutral"
    min_trials: int | None = None
    max_step: float | None = None
    min_weight: float | None = None
    cooldown: float | None = None


class StoppingDefinition(Value, frozen=True):
    """When the experiment is done; `auto_conclude` lets the allocator conclude it then."""

    min_decisions: int = 0
    min_decisions_per_arm: int = 100
    prob_best: float | None = 0.95
    expected_loss: float | None = None
    combine: Literal["any", "all"] = "any"
    max_duration: float | None = None
    auto_conclude: bool = True


class ConclusionDefinition(Value, frozen=True):
    """Why and by whom an experiment was concluded, and the verdict that held at that moment."""

    at: float
    who: str
    why: str
    outcome: Literal["winner", "practically_equal", "undecided"]
    prob_best: float | None = None
    expected_loss: float | None = None


class Experiment(Value, frozen=True):
    """A whole experiment at one revision. Times are seconds since the epoch (UTC).

    `git_fields`: what a file in Git says of it, and nobody else may change.
    """

    id: str
    namespace: str
    status: Status
    revision: int
    arms: tuple[ArmDefinition, ...]
    default_arm: str
    created_at: float
    description: str = ""
    control_arm: str | None = None
    policy: PolicyDefinition = PolicyDefinition()
    guardrails: GuardrailsDefinition = GuardrailsDefinition()
    stopping: StoppingDefinition | None = None
    reward_window: float = 86_400.0
    missing_reward: MissingReward = "ignore"
    reward_model: Mapping[str, object] | None = None
    assignment: Assignment = "draw"
    holdout: float = 0.0
    update_every: float | None = None
    salt: str = ""
    unit_salt: str = ""
    winner: str | None = None
    conclusion: ConclusionDefinition | None = None
    git_fields: tuple[str, ...] = ()

    @property
    def active_arms(self) -> tuple[ArmDefinition, ...]:
        """The arms that can be served, in the order of their index."""
        return tuple(arm for arm in self.arms if arm.status == "active")

    @property
    def priors(self) -> dict[int, tuple[int, int]]:
        """Alpha and beta of every arm's prior in millionths, by the arm's index."""
        return {arm.index: (arm.prior_alpha_micro, arm.prior_beta_micro) for arm in self.arms}

    def arm(self, arm_id: str) -> ArmDefinition:
        """Return the arm of that id, or raise KeyError."""
        for arm in self.arms:
            if arm.id == arm_id:
                return arm
        raise KeyError(arm_id)


def namespace_of(experiment_id: str) -> str:
    """Return the namespace an id belongs to: what stands before its first dot, else the default one."""
    head, dot, _ = experiment_id.partition(".")
    return head if dot else DEFAULT_NAMESPACE
