"""The bodies of the management endpoints."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bandit_core.contextual import contextual_policy_names, make_contextual_policy
from bandit_core.policies import make_policy, policy_names
from bandit_core.rewards import make_reward_model
from bandit_core.rules import messages
from bandit_core.rules.experiment import DEFAULT_NAMESPACE, Assignment, MissingReward, Status
from bandit_core.stopping import StoppingRule
from bandit_service.api.experiments.fields import (
    MOST_ARMS,
    MOST_FEATURES,
    MOST_SEGMENTS,
    WHOLE,
    YEAR,
    ArmId,
    Body,
    Description,
    ExperimentId,
    FeatureName,
    Holdout,
    Metadata,
    Namespace,
    Parameters,
    PriorParameter,
    Revision,
    RewardModel,
    SegmentValue,
    UpdateEvery,
    Why,
    check_plain,
)

_POLICIES = tuple(sorted((*policy_names(), *contextual_policy_names())))


class Prior(Body):
    """The Beta distribution believed before any data; rounded to millionths."""

    alpha: PriorParameter = 1.0
    beta: PriorParameter = 1.0


class Arm(Body):
    """A variant."""

    id: ArmId
    prior: Prior = Prior()


def _arm(value: object) -> object:
    match value:
        case str():
            return {"id": value}
        case bool() | int() | float() | None:
            raise ValueError(messages.wrong_type("text, or an object with an id", value))
        case _:
            return value


class Context(Body):
    """The numbers a context consists of: their names, or only how many they are. An intercept stands behind them."""

    features: Annotated[list[FeatureName], Field(min_length=1, max_length=MOST_FEATURES)] | None = None
    dimension: Annotated[int, Field(ge=1, le=MOST_FEATURES), WHOLE] | None = None
    intercept: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.features is None) == (self.dimension is None):
            raise ValueError("give either features, the names, or dimension, how many there are")
        if self.features is not None and len(set(self.features)) < len(self.features):
            raise ValueError("names of features must differ")
        if (self.dimension or len(self.features or ())) + self.intercept > MOST_FEATURES:
            raise ValueError(f"at most {MOST_FEATURES} features are taken, the intercept included")
        return self


class Segment(Body):
    """A categorical field of the context. What is none of its values, or is not given, counts as the default."""

    field: FeatureName
    values: Annotated[list[SegmentValue], Field(min_length=1, max_length=100)]
    default: SegmentValue

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.values)) < len(self.values):
            raise ValueError("values must differ")
        if self.default not in self.values:
            raise ValueError("the default must be one of the values")
        return self


class Rewards(Body):
    """How rewards are distributed: in [0, 1], or (gaussian) any number, as multiples of `unit`.

    The rest is the Normal-Inverse-Gamma prior of gaussian rewards, in units: the mean, worth `strength` observations,
    and the variance by its `shape` and `scale`.
    """

    distribution: Literal["bernoulli", "gaussian"] = "bernoulli"
    unit: Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)] = 1.0
    mean: Annotated[float, Field(ge=-1_000, le=1_000)] = 0.0
    strength: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    shape: Annotated[float, Field(gt=0.5, le=1e6)] = 1.0
    scale: Annotated[float, Field(ge=1e-9, le=1e9)] = 1.0


class Policy(Body):
    """How beliefs become weights."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "top_two_thompson", "params": {"beta": 0.5}}]},
    )

    name: Annotated[str, Field(json_schema_extra={"enum": list(_POLICIES)})] = "thompson"
    params: Parameters = Field(default_factory=dict, validate_default=True)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name not in _POLICIES:
            raise ValueError(f"unknown policy; known are {', '.join(_POLICIES)}")
        return name

    @field_validator("params")
    @classmethod
    def _check_params(cls, params: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        check_plain(params)
        if "name" in info.data:
            make = make_contextual_policy if info.data["name"] in contextual_policy_names() else make_policy
            make(info.data["name"], params)
        return params


def _policy(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


AnyPolicy = Annotated[Policy, BeforeValidator(_policy, json_schema_input_type=str | Policy)]


class Limits(Body):
    """A preset of guardrails, and the limits that replace the preset's."""

    preset: Literal["safe", "neutral", "explore"] = "neutral"
    min_trials: Annotated[int, Field(ge=0, le=10**9), WHOLE] | None = None
    max_step: Annotated[float, Field(gt=0, le=1)] | None = None
    min_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    cooldown: Annotated[float, Field(ge=0, le=YEAR, description="Seconds")] | None = None


class Stopping(Body):
    """When the experiment is done. `auto_conclude`: it is then concluded without anybody asking."""

    min_decisions: Annotated[int, Field(ge=0, le=10**12), WHOLE] = 0
    min_decisions_per_arm: Annotated[int, Field(ge=0, le=10**12), WHOLE] = 100
    prob_best: Annotated[float, Field(gt=0, le=1)] | None = 0.95
    expected_loss: Annotated[float, Field(gt=0, le=1)] | None = None
    prob_better: (
        Annotated[float, Field(gt=0, le=1, description="That the policy earns more than the holdout")] | None
    ) = None
    combine: Literal["any", "all"] = "any"
    max_duration: Annotated[float, Field(gt=0, le=10 * YEAR, description="Seconds")] | None = None
    auto_conclude: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        StoppingRule(**self.model_dump(exclude={"auto_conclude"}))
        return self


class NewExperiment(Body):
    """An experiment to create. Its namespace is what stands before the first dot of its id."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "experiment_id": "homepage",
                    "arms": ["a", {"id": "b", "prior": {"alpha": 2, "beta": 20}}],
                    "policy": {"name": "thompson"},
                    "guardrails": {"preset": "safe"},
                    "stopping": {"prob_best": 0.95, "min_decisions_per_arm": 500},
                }
            ]
        }
    )

    experiment_id: ExperimentId
    description: Description = ""
    arms: Annotated[
        list[Annotated[Arm, BeforeValidator(_arm, json_schema_input_type=ArmId | Arm)]],
        Field(
            min_length=2,
            max_length=MOST_ARMS,
            description="An arm is its id, or an object with its prior",
            examples=[["a", {"id": "b", "prior": {"alpha": 2, "beta": 20}}]],
        ),
    ]
    default_arm: ArmId | None = Field(default=None, description="Served while paused; the first arm if not given")
    control_arm: ArmId | None = Field(default=None, description="Served to the holdout")
    policy: AnyPolicy = Policy()
    guardrails: Limits = Limits()
    stopping: Stopping | None = None
    reward_window: Annotated[float, Field(ge=0.001, le=YEAR, description="Seconds a reward may take")] = 86_400.0
    missing_reward: MissingReward = "ignore"
    reward_model: RewardModel | None = None
    rewards: Rewards = Rewards()
    context: Context | None = None
    segment_by: Annotated[list[Segment], Field(max_length=8)] = Field(default_factory=list)
    assignment: Assignment = "draw"
    holdout: Holdout = 0.0
    update_every: UpdateEvery | None = None
    metadata: Metadata = Field(default_factory=dict)

    @field_validator("experiment_id")
    @classmethod
    def _check_id(cls, experiment_id: str) -> str:
        head, dot, name = experiment_id.partition(".")
        if dot and head == DEFAULT_NAMESPACE:
            raise ValueError(f"write {name!r}: ids in the default namespace go without it")
        return experiment_id

    @field_validator("arms")
    @classmethod
    def _check_arms(cls, arms: list[Arm]) -> list[Arm]:
        repeated = [name for name, times in Counter(arm.id for arm in arms).items() if times > 1]
        if repeated:
            raise ValueError(f"ids of arms must differ; repeated: {', '.join(repeated[:5])}")
        return arms

    @field_validator("segment_by")
    @classmethod
    def _check_segments(cls, fields: list[Segment]) -> list[Segment]:
        if len({each.field for each in fields}) < len(fields):
            raise ValueError("fields must differ")
        if (segments := prod(len(each.values) for each in fields)) > MOST_SEGMENTS:
            raise ValueError(f"their values make {segments} segments; at most {MOST_SEGMENTS} are taken")
        return fields

    @field_validator("reward_model")
    @classmethod
    def _check_reward_model(cls, model: dict[str, Any] | None) -> dict[str, Any] | None:
        if model is not None:
            check_plain(model)
            make_reward_model(model)
        return model


class Because(Body):
    """Why a change is made, and the revision it was decided on."""

    reason: Why
    expected_revision: Revision | None = None


def _document_change(schema: dict[str, Any]) -> None:
    """Take the defaults out of the document: a field that is left out keeps its value instead."""
    for field in schema["properties"].values():
        field.pop("default", None)
    top_two = {"name": "top_two_thompson", "params": {"beta": 0.5}}
    schema["examples"] = [{"reason": "more exploration", "policy": top_two}]


class ExperimentChange(Because):
    """Settings to replace; what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra=_document_change)

    description: Description = ""
    default_arm: ArmId = ""
    control_arm: ArmId | None = None
    policy: AnyPolicy = Policy()
    guardrails: Limits = Limits()
    stopping: Stopping | None = None
    holdout: Holdout = 0.0
    update_every: UpdateEvery | None = None
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_something_changes(self) -> Self:
        if self.model_fields_set <= Because.model_fields.keys():
            raise ValueError("nothing to change is named")
        return self


class NewArm(Because):
    """An arm to add."""

    id: ArmId
    prior: Prior = Prior()


class Absence(Because):
    """Why an arm is paused or retires, and who replaces it if it is the default or the control arm."""

    default_arm: ArmId | None = None
    control_arm: ArmId | None = None


class Conclusion(Because):
    """How to end an experiment."""

    winner: ArmId | None = Field(default=None, description="The arm to serve; null: the one of the stopping rule")


class Filter(BaseModel):
    """Which experiments to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Status | None = None
    namespace: Namespace | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    cursor: ExperimentId | None = Field(default=None, description="`next_cursor` of the page before")


class ChangesFilter(BaseModel):
    """Which changes to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    before: Annotated[int, Field(ge=1, le=2**53, description="Only changes before this revision")] | None = None


class ApplyReason(BaseModel):
    """Why an experiment is made what Git says: the commit, for instance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Why = "applied from Git"


class ArchiveReason(BaseModel):
    """Why an experiment is archived."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Why = "archived"
