"""What an experiment is: the typed document Postgres keeps as the truth and Redis mirrors."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bandit_core.contextual import contextual_policy_names
from bandit_core.rules.fields import (
    MOST_FEATURES,
    YEAR,
    ArmId,
    Description,
    FeatureName,
    Holdout,
    Metadata,
    PolicyName,
    PolicyParameters,
    RewardModel,
    SegmentValue,
    UpdateEvery,
)

MICRO = 1_000_000
CONTEXTUAL_POLICIES = frozenset(contextual_policy_names())
DEFAULT_NAMESPACE = "default"

Status = Literal["running", "paused", "concluded", "archived"]
ArmStatus = Literal["active", "paused", "retired"]
MissingReward = Literal["ignore", "zero"]
Assignment = Literal["draw", "sticky"]


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the immutable documents that are stored as JSON."""


class ArmDefinition(Value, frozen=True):
    """One arm. Its index never changes and is never used again, so it can name keys and branches.

    `newcomer`: it was added while the experiment ran, so the other arms do not wait for its data.
    """

    index: int
    id: str
    prior_alpha_micro: int = MICRO
    prior_beta_micro: int = MICRO
    status: ArmStatus = "active"
    newcomer: bool = False


class PolicyDefinition(Value, frozen=True):
    """How beliefs become weights: a registered policy by name, with its parameters."""

    name: PolicyName = "thompson"
    params: PolicyParameters = {}


class FeaturesDefinition(Value, frozen=True):
    """The numbers a context consists of, by name or only by how many they are; an intercept stands behind them."""

    features: (
        Annotated[
            tuple[FeatureName, ...], Meta(min_length=1, max_length=MOST_FEATURES, description="Names, in their order")
        ]
        | None
    ) = None
    dimension: Annotated[int, Meta(ge=1, le=MOST_FEATURES, description="How many, where they have no names")] | None = (
        None
    )
    intercept: Annotated[bool, Meta(description="Whether a constant 1 stands behind them")] = True


class SegmentField(Value, frozen=True):
    """A categorical field of the context. What is none of its values, or is not given, counts as the default."""

    field: FeatureName
    values: Annotated[tuple[SegmentValue, ...], Meta(min_length=1, max_length=100, description="Its values")]
    default: Annotated[SegmentValue, Meta(description="One of the values, for a request that gives none of them")]


class RewardsDefinition(Value, frozen=True):
    """How rewards are distributed: numbers in [0, 1], or any, as multiples of `unit` (gaussian).

    The rest is the Normal-Inverse-Gamma prior of gaussian rewards, in units.
    """

    distribution: Annotated[
        Literal["bernoulli", "gaussian"], Meta(description="bernoulli: rewards in [0, 1]; gaussian: any number")
    ] = "bernoulli"
    unit: Annotated[
        float, Meta(ge=1e-9, le=1e9, description="What gaussian rewards are divided by, in the unit of the rewards")
    ] = 1.0
    mean: Annotated[float, Meta(ge=-1_000, le=1_000, description="Prior mean, in units")] = 0.0
    strength: Annotated[float, Meta(ge=1e-6, le=1e6, description="How many observations the mean is worth")] = 1.0
    shape: Annotated[float, Meta(gt=0.5, le=1e6, description="Shape of the prior of the variance")] = 1.0
    scale: Annotated[float, Meta(ge=1e-9, le=1e9, description="Scale of that prior, in squared units")] = 1.0


class GuardrailsDefinition(Value, frozen=True):
    """A preset, and the limits that replace the preset's."""

    preset: Annotated[
        Literal["safe", "neutral", "explore"], Meta(description="Where the limits that are null come from")
    ] = "neutral"
    min_trials: (
        Annotated[int, Meta(ge=0, le=10**9, description="Rewards of an arm before its weight may move")] | None
    ) = None
    max_step: Annotated[float, Meta(gt=0, le=1, description="How far a weight may move in one update")] | None = None
    min_weight: Annotated[float, Meta(ge=0, le=1, description="Least weight of an arm")] | None = None
    cooldown: Annotated[float, Meta(ge=0, le=YEAR, description="Seconds between moves of a weight")] | None = None


class StoppingDefinition(Value, frozen=True):
    """When the experiment is done; `auto_conclude` lets the allocator conclude it then."""

    min_decisions: Annotated[int, Meta(ge=0, le=10**12, description="Decisions before the rule may hold")] = 0
    min_decisions_per_arm: Annotated[
        int, Meta(ge=0, le=10**12, description="Decisions of each arm before the rule may hold")
    ] = 100
    prob_best: (
        Annotated[float, Meta(gt=0, le=1, description="P(best) that an arm must reach; null: not a condition")] | None
    ) = 0.95
    expected_loss: (
        Annotated[
            float,
            Meta(gt=0, le=1e12, description="Loss to fall below, in rewards: at most 1 for shares; null: no condition"),
        ]
        | None
    ) = None
    prob_better: (
        Annotated[float, Meta(gt=0, le=1, description="P(the policy earns more than the holdout); null: no condition")]
        | None
    ) = None
    combine: Annotated[Literal["any", "all"], Meta(description="Whether one condition is enough")] = "any"
    max_duration: (
        Annotated[float, Meta(gt=0, le=10 * YEAR, description="Seconds after which it ends in any case; null: never")]
        | None
    ) = None
    auto_conclude: Annotated[
        bool, Meta(description="Whether the service concludes the experiment when the rule is met")
    ] = True


class ConclusionDefinition(Value, frozen=True):
    """Why and by whom an experiment was concluded, and the verdict that held at that moment."""

    at: Annotated[float, Meta(description="When, in seconds since the epoch (UTC)")]
    who: Annotated[str, Meta(description="By whom: the name of an API key, or `stopping rule`")]
    why: Annotated[str, Meta(description="The reason that was given")]
    outcome: Annotated[
        Literal["winner", "practically_equal", "better_policy", "undecided"],
        Meta(description="What the stopping rule decided; undecided: a person chose the winner"),
    ]
    prob_best: Annotated[float | None, Meta(description="P(best) of the winner then, 0 to 1")] = None
    expected_loss: Annotated[float | None, Meta(description="Expected loss of the winner then, in rewards")] = None


class ExperimentSettings(Value, frozen=True, kw_only=True):
    """What can be said of an experiment; the same in a request, in the stored document and in an answer."""

    description: Description = ""
    control_arm: Annotated[ArmId, Meta(description="Arm that the holdout is served")] | None = None
    policy: PolicyDefinition = PolicyDefinition()
    guardrails: GuardrailsDefinition = GuardrailsDefinition()
    stopping: StoppingDefinition | None = None
    reward_window: Annotated[float, Meta(ge=0.001, le=YEAR, description="Seconds a reward may take")] = 86_400.0
    missing_reward: Annotated[
        MissingReward, Meta(description="What a decision without a reward counts as when its window ends")
    ] = "ignore"
    reward_model: RewardModel | None = None
    rewards: RewardsDefinition = RewardsDefinition()
    context: FeaturesDefinition | None = None
    segment_by: Annotated[
        tuple[SegmentField, ...], Meta(max_length=8, description="Fields of the context to learn by, each on its own")
    ] = ()
    assignment: Annotated[
        Assignment,
        Meta(description="draw: a new draw for each request; sticky: a unit keeps its arm until the weights move it"),
    ] = "draw"
    holdout: Holdout = 0.0
    update_every: UpdateEvery | None = None
    metadata: Metadata = {}


class Experiment(ExperimentSettings, frozen=True):
    """A whole experiment at one revision. Times are seconds since the epoch (UTC).

    `git_fields`: the fields that a file in Git owns; the API refuses to change them. `metadata`: what its owners
    keep with it; the service does not read it.
    """

    id: str
    namespace: str
    status: Status
    revision: int
    arms: tuple[ArmDefinition, ...]
    default_arm: str
    created_at: float
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
    def goes_on(self) -> bool:
        """Whether it has ended because its policy is the better one, and so keeps deciding by it."""
        return self.status == "concluded" and self.conclusion is not None and self.conclusion.outcome == "better_policy"

    @property
    def concludes_by_rule(self) -> bool:
        """Whether the service concludes it when its stopping rule is met."""
        return self.status == "running" and self.stopping is not None and self.stopping.auto_conclude

    @property
    def has_weights(self) -> bool:
        """Whether weights are published for it."""
        return self.status in ("running", "paused") or self.goes_on

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
        return self.policy.name in CONTEXTUAL_POLICIES

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
