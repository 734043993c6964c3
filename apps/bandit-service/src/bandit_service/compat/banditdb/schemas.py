"""The bodies of BanditDB's API, as its Python client 0.4 sends and reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from bandit_core.rules.requests import DecisionId

MOST_PREDICTIONS: Final = 100
HOUR: Final = 3_600.0
Algorithm = Literal["linucb", "thompson_sampling"]
# By the name of the policy.
ALGORITHMS: Final[Mapping[str, Algorithm]] = {"linucb": "linucb", "linear_thompson": "thompson_sampling"}
ArmStatus = Literal["active", "paused", "retired"]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request: a field that is not known is refused, since it would be without effect."""


class CreateCampaign(Body, frozen=True):
    """A campaign to create. `pacing` is refused; so is an `algorithm` with a configuration of its own."""

    campaign_id: str
    arms: list[str]
    feature_dim: int
    alpha: float = 1.0
    algorithm: str | dict[str, Any] = "linucb"
    metadata: dict[str, Any] | None = None
    decay_half_life_hours: float | None = None
    pacing: Any = None


class AddArm(Body, frozen=True):
    """An arm to add. It begins without data: `group`, `warm_start` and `costs` are refused."""

    arm_id: str
    group: str | None = None
    warm_start: Any = None
    costs: Any = None


class SetArmStatus(Body, frozen=True):
    """Whether an arm can be chosen."""

    status: ArmStatus


class Predict(Body, frozen=True):
    """Ask for an arm."""

    campaign_id: str
    context: list[float]
    eligible_arms: list[str] | None = None
    exclude_arms: list[str] | None = None


class BatchPredict(Body, frozen=True):
    """Predictions, each decoded on its own so that one bad item does not spoil the others."""

    predictions: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MOST_PREDICTIONS)]


class Reward(Body, frozen=True):
    """What came of a prediction."""

    interaction_id: DecisionId
    reward: float


class Interact(Body, frozen=True):
    """A decision that was made elsewhere, and what came of it."""

    arm_id: str
    context: list[float]
    reward: float


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The arm, and the name to reward it by."""

    campaign_id: str
    arm_id: str
    interaction_id: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why an item of a batch has no arm."""

    campaign_id: str | None
    error: str


class CampaignSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign in the list."""

    campaign_id: str
    alpha: float
    algorithm: Algorithm
    arm_count: int
    archived: bool
    metadata: dict[str, Any] | None


class ArmInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An arm's model and counters; a retired arm's model is not shown."""

    status: str
    group: str | None = None
    theta: list[float] | None
    theta_norm: float | None
    prediction_count: int
    reward_count: int
    avg_reward: float | None


class CampaignInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A whole campaign."""

    campaign_id: str
    alpha: float
    algorithm: Algorithm
    feature_dim: int
    decay_half_life_hours: float | None
    archived: bool
    metadata: dict[str, Any] | None
    total_predictions: int
    total_rewards: int
    arms: dict[str, ArmInfo]


class ArmStats(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An arm in the report. Bounds are those of a 95% credible interval; parts of the client call them by other names.

    The observed means are left out before the first reward.
    """

    status: str
    predictions: int
    rewards: int
    traffic_share: float
    mean_reward: float | None = None
    reward_rate: float | None = None
    lower_ci: float
    upper_ci: float
    ci_lower: float
    ci_upper: float


class CampaignReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a campaign does. `overall_reward_rate` is 0 while there are no rewards: the client formats it as a number."""

    campaign_id: str
    archived: bool
    algorithm: Algorithm
    alpha: float
    total_predictions: int
    total_rewards: int
    overall_reward_rate: float
    arms: dict[str, ArmStats]
    leading_arm: str | None
    converged: bool | None


class ArmDiagnostics(msgspec.Struct, frozen=True, kw_only=True):
    """What an arm's model is like: the norm of its coefficients, and the extremes of the diagonal of A⁻¹."""

    status: str
    predictions: int
    rewards: int
    avg_reward: float | None
    theta_norm: float
    a_inv_diag_min: float
    a_inv_diag_max: float


class CampaignDiagnostics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a campaign still explores. Retired arms are left out."""

    campaign_id: str
    archived: bool
    algorithm: Algorithm
    alpha: float
    arm_count: int
    active_arm_count: int
    total_predictions: int
    total_rewards: int
    overall_avg_reward: float | None
    arm_stats: dict[str, ArmDiagnostics]
    selection_entropy: float
    entropy_status: str
    entropy_trend: str
    converged: bool | None
    likely_cause: str | None = None
    suggested_action: str | None = None


class CampaignHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How evenly a campaign's arms are chosen."""

    entropy: float
    status: str


class HealthDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Whether any running campaign has all but stopped exploring."""

    status: Literal["ok", "degraded"]
    campaigns: dict[str, CampaignHealth]


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """The files of the last checkpoint, by campaign."""

    export_dir: str
    shards: dict[str, list[str]]
