"""The tables of migration 0001 as far as they are modelled. Times are microseconds since the epoch (UTC)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

# How a row is found: by its primary key, as a tuple or as its only column.
type Key = Any


class Namespace(NamedTuple):
    name: str
    unit_salt: bytes
    created_at: int


class ApiKeyRow(NamedTuple):
    id: str
    hash: bytes
    name: str
    role: str
    namespace: str
    created_at: int
    revoked_at: int | None


class ExperimentRow(NamedTuple):
    id: str
    namespace: str
    status: str
    revision: int
    winner: str | None
    definition: str
    created_at: int
    updated_at: int


class ArmRow(NamedTuple):
    experiment_id: str
    arm_index: int
    arm: str
    prior_alpha_micro: int
    prior_beta_micro: int
    status: str


class ChangeRow(NamedTuple):
    experiment_id: str
    revision: int
    changed_at: int
    who: str
    why: str
    change: str


class EventRow(NamedTuple):
    experiment_id: str
    decision_id: str
    kind: str
    position: int
    part: str
    decision_time: int
    event_time: int
    recorded_at: int
    batch: int
    ord: int
    arm_index: int
    stratum: str
    counted: bool
    deferred: bool
    filled: bool
    propensity: float | None
    weights_version: int | None
    revision: int | None
    reward_micro: int | None
    unit_hash: bytes | None
    vector: str | None
    segment: str | None
    slate_propensity: float | None
    context: str | None
    settles: bool
    bucket: int | None


class TotalsRow(NamedTuple):
    experiment_id: str
    arm_index: int
    stratum: str
    segment: str
    weights_version: int
    slot: int
    decisions: int
    rewards: int
    reward_micro: int
    square_micro: int


class Exposure(NamedTuple):
    experiment_id: str
    unit_hash: bytes
    decision_id: str
    decision_time: int
    stratum: str


class OwnId(NamedTuple):
    experiment_id: str
    own_id: str
    decision_time: int
    claim: str


class Unsettled(NamedTuple):
    experiment_id: str
    id: int
    decision_ids: tuple[str, ...]
    times: tuple[int, ...]
    recorded_at: int


class OpenBucket(NamedTuple):
    experiment_id: str
    bucket: int
    slot: int
    events: int


class ProducerRow(NamedTuple):
    name: str
    slot: int
    started_at: int
    heartbeat_at: int
    drained_to: int
    timeline: str
    dead: bool


class TimelineRow(NamedTuple):
    timeline: str
    settled_at: int


class LeaseRow(NamedTuple):
    experiment_id: str
    holder: str | None
    token: int
    turn: int
    folds: int = 0


class WeightsRow(NamedTuple):
    experiment_id: str
    version: int
    published_at: int
    record: str
    explanation: str
    summary: str
    assessment: str


class Checkpoint(NamedTuple):
    experiment_id: str
    turn: int
    taken_at: int
    state: bytes


class AllocationRow(NamedTuple):
    experiment_id: str
    weights_version: int
    published_at: int
    revision: int
    weights: str
    prob_best: str
    expected_loss: str
    explanation: str
    summary: str
    holdout: float


class WeightPeriod(NamedTuple):
    experiment_id: str
    first_version: int
    last_version: int
    begins: int
    ends: int
    sums: str


class RefusedEvent(NamedTuple):
    id: int
    recorded_at: int
    experiment_id: str
    reason: str
    event: str


class ErasedUnit(NamedTuple):
    unit_hash: bytes
    erased_at: int


class KeptFrom(NamedTuple):
    only_row: bool
    oldest: int | float


class TableDefinition(NamedTuple):
    """A table.

    Attributes:
        name: Of the table.
        row: What a row consists of.
        group_of: Rows with the same group are found together.
        json: Its columns of jsonb. They hold the text that was given.
        plain_json: Its columns of json, which Postgres shows as they were given.
    """

    name: str
    row: type
    group_of: Callable[[Key], Any] | None = None
    json: tuple[str, ...] = ()
    plain_json: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.row.__annotations__)


DEFINITIONS = (
    TableDefinition("namespaces", Namespace),
    TableDefinition("api_keys", ApiKeyRow),
    TableDefinition("experiments", ExperimentRow, json=("definition",)),
    TableDefinition("experiment_arms", ArmRow),
    TableDefinition("experiment_changes", ChangeRow, json=("change",)),
    TableDefinition("bandit_events", EventRow, lambda key: (key[0], key[1], key[5]), plain_json=("context",)),
    TableDefinition("arm_totals", TotalsRow, lambda key: key[0]),
    TableDefinition("exposures", Exposure),
    TableDefinition("own_ids", OwnId, json=("claim",)),
    TableDefinition("unsettled", Unsettled, lambda key: key[0]),
    TableDefinition("open_buckets", OpenBucket, lambda key: key[0]),
    TableDefinition("producers", ProducerRow),
    TableDefinition("timelines", TimelineRow),
    TableDefinition("leases", LeaseRow),
    TableDefinition("weights", WeightsRow, json=("record", "explanation", "assessment")),
    TableDefinition("linear_checkpoints", Checkpoint),
    TableDefinition(
        "allocations", AllocationRow, lambda key: key[0], json=("weights", "prob_best", "expected_loss", "explanation")
    ),
    TableDefinition("weight_periods", WeightPeriod, lambda key: key[0], json=("sums",)),
    TableDefinition("refused_events", RefusedEvent, json=("event",)),
    TableDefinition("erased_units", ErasedUnit),
    TableDefinition("kept_from", KeptFrom),
)
