"""What an experiment is: the typed document Postgres keeps as the truth and Redis mirrors."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Literal

import msgspec

from bandit_core.contextual import contextual_policy_names

MICRO = 1_000_000
_CONTEXTUAL = frozenset(contextual_policy_names())
DEFAULT_NAMESPACE = "default"

Status = Literal["running", "paused", "concluded", "archived"]
ArmStatus = Literal["active", "paused", "retired"]
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


class FeaturesDefinition(Value, frozen=True):
    """The numbers a context consists of, by name or only by how many they are; an intercept stands behind them."""

    features: tuple[str, ...] | None = None
    dimension: int | None = None
    intercept: bool = True


class SegmentField(Value, frozen=True):
    """A categorical field of the context. What is none of its values, or is not given, counts as the default."""

    field: str
    values: tuple[str, ...]
    default: str


class RewardsDefinition(Value, frozen=True):
    """How rewards are distributed: numbers in [0, 1], or any, as multiples of `unit` (gaussian).

    The rest is the Normal-Inverse-Gamma prior of gaussian rewards, in units.
    """

    distribution: Literal["bernoulli", "gaussian"] = "bernoulli"
    unit: float = 1.0
    mean: float = 0.0
    strength: float = 1.0
    shape: float = 1.0
    scale: float = 1.0


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
    prob_better: float | None = None
    combine: Literal["any", "all"] = "any"
    max_duration: float | None = None
    auto_conclude: bool = True


class ConclusionDefinition(Value, frozen=True):
    """Why and by whom an experiment was concluded, and the verdict that held at that moment."""

    at: float
    who: str
    why: str
    outcome: Literal["winner", "practically_equal", "better_policy", "undecided"]
    prob_best: float | None = None
    expected_loss: float | None = None


class Experiment(Value, frozen=True):
    """A whole experiment at one revision. Times are seconds since the epoch (UTC).

    `git_fields`: what a file in Git says of it, and nobody else may change. `metadata`: what its owners keep with it;
    nothing here looks at it.
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
    rewards: RewardsDefinition = RewardsDefinition()
    context: FeaturesDefinition | None = None
    segment_by: tuple[SegmentField, ...] = ()
    assignment: Assignment = "draw"
    holdout: float = 0.0
    update_every: float | None = None
    salt: str = ""
    unit_salt: str = ""
    winner: str | None = None
    conclusion: ConclusionDefinition | None = None
    git_fields: tuple[str, ...] = ()
    metadata: Mapping[str, object] = {}

    @property
    def active_arms(self) -> tuple[ArmDefinition, ...]:
        """The arms that can be served, in the order of their index."""
        return tuple(arm for arm in self.arms if arm.status == "active")

    @property
    def goes_on(self) -> bool:
        """Whether it has ended because its policy is the better one, and so keeps deciding by it."""
        return self.status == "concluded" and self.conclusion is not None and self.conclusion.outcome == "better_policy"

    @property
    def is_gaussian(self) -> bool:
        return self.rewards.distribution == "gaussian"

    @property
    def unit(self) -> float:
        """What rewards are divided by before they are summed: 1, unless they are gaussian."""
        return self.rewards.unit if self.is_gaussian else 1.0

    @property
    def is_contextual(self) -> bool:
        """Whether its policy computes a vector for each context."""
        return self.policy.name in _CONTEXTUAL

    @property
    def dimension(self) -> int:
        """How many numbers a context's vector has, the intercept included; 0 without features."""
        context = self.context
        if context is None:
            return 0
        return (context.dimension or len(context.features or ())) + context.intercept

    @property
    def segments(self) -> tuple[str, ...]:
        """The names of all segments: every combination of the fields' values, in the order of their numbers."""
        if not self.segment_by:
            return ()
        return tuple("/".join(values) for values in product(*(field.values for field in self.segment_by)))

    @property
    def priors(self) -> dict[int, tuple[int, int]]:
        """What the sums of every arm begin with, in millionths: alpha and beta of its prior; zeros if gaussian."""
        if self.is_gaussian:
            return {arm.index: (0, 0) for arm in self.arms}
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
