"""What the holder of a lease remembers of an experiment, and when its weights are worth a new version."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_core.rules.vectors import guardrails_of
from bandit_service.allocation.compute import is_material, update_every
from bandit_service.domain.totals import Totals
from bandit_service.ledger.leases import Lease

# Versions come less often as an experiment ages, so that there are thousands in months and not millions.
_PARTS_OF_AGE: Final = 1_000
# Beliefs are published with the weights, and requests are answered from them: they follow, if more slowly.
_BELIEFS_FOLLOW: Final = 10
_MATERIAL_CHANGE: Final = 0.01


@dataclass(slots=True)
class Watched:
    """An experiment whose lease is held. Times are those of the allocator's clock.

    Attributes:
        stored_version: The version of the weights in Postgres. A failover may have lost the one that Redis has.
        totals: What was last read.
        counted: How many decisions and rewards the last look found.
        computed_from: The revision, and how many rewards the last computation knew of.
        computed_at: When that was.
        tried_at: When a computation was last begun, whether or not it came to an end.
        follow_at: When beliefs that have changed are published although the weights have not.
        events: How many decisions and rewards the totals have.
        judged_from: What the stopping rule last looked at.
        is_uncertain: Weights may have been published, but the answer was lost.
        resting_until: After a failure.
        publishing: Held while weights are computed and published.
    """

    lease: Lease
    stored_version: int = 0
    totals: Totals | None = None
    counted: tuple[int, int] | None = None
    computed_from: tuple[int, int] | None = None
    computed_at: float = float("-inf")
    tried_at: float = float("-inf")
    follow_at: float = float("inf")
    events: int = 0
    judged_from: tuple[int, int, bool] | None = None
    is_uncertain: bool = False
    resting_until: float = float("-inf")
    publishing: asyncio.Lock = field(default_factory=asyncio.Lock)


def distance(experiment: Experiment, now: float) -> float:
    """Return the least time between two versions of the weights of one definition, in seconds."""
    return max(update_every(experiment), (now - experiment.created_at) / _PARTS_OF_AGE)


def is_worth_publishing(
    experiment: Experiment, record: AllocationRecord, last: AllocationRecord | None, now: float
) -> bool:
    """Say whether weights that were computed become a version of their own."""
    if last is None or is_material(record, last):
        return True
    if experiment.is_contextual:
        # Models are published with the weights, and also those of a paused arm have learnt.
        return True
    if record.beliefs == last.beliefs:
        return False
    if _segments_moved(record, last):
        return True
    step = guardrails_of(experiment.guardrails, len(record.weights)).max_step
    if _moved(record, last) >= min(_MATERIAL_CHANGE, step / 2):
        return True
    return now >= follow_at(experiment, last, now)


def is_early(served: ServedExperiment, since: float, now: float) -> bool:
    """Say whether weights of the same definition were computed, or published, too short a while ago."""
    last, experiment = served.allocation, served.experiment
    if last is None or last.revision != experiment.revision:
        return False
    return now - since < distance(experiment, now)


def follow_at(experiment: Experiment, last: AllocationRecord, now: float) -> float:
    """Return when beliefs that have changed are published at the latest."""
    return last.published_at + _BELIEFS_FOLLOW * distance(experiment, now)


def known(experiment: Experiment, totals: Totals) -> tuple[int, int]:
    """Return what weights are computed from: decisions without a reward say nothing about the arms."""
    return experiment.revision, sum(totals.rewards.values())


def events_in(totals: Totals) -> int:
    """Return how many decisions and rewards were counted."""
    counted = (totals.decisions, totals.rewards, totals.holdout_decisions)
    return sum(sum(by_arm.values()) for by_arm in counted) + totals.holdout_rewards


def _moved(record: AllocationRecord, last: AllocationRecord) -> float:
    return max((abs(weight - last.weights.get(arm, 0.0)) for arm, weight in record.weights.items()), default=0.0)


def _segments_moved(record: AllocationRecord, last: AllocationRecord) -> bool:
    if record.segments.keys() != last.segments.keys():
        return True
    return any(
        abs(weight - last.segments[segment].get(arm, 0.0)) >= _MATERIAL_CHANGE
        for segment, weights in record.segments.items()
        for arm, weight in weights.items()
    )
