"""Posterior snapshots: what lets a refill start from the last one instead of from the first event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bandit_service.domain.experiment import Experiment
from bandit_service.ledger.events import EventLog, SegmentCount, SnapshotRow
from bandit_service.redis_store.state import BeliefCounts, Head
from bandit_service.redis_store.streams import Streams

_EVENTS: Final = 10_000
_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Taken:
    """A snapshot that waits until Postgres has the events it stands for, and which store it was read from."""

    generation: int
    epoch: int
    seq: int
    rows: tuple[SnapshotRow, ...]
    segments: tuple[SegmentCount, ...]


class Snapshots:
    """Takes a snapshot of an experiment every so many events or seconds in which there were any."""

    def __init__(self, streams: Streams, events: EventLog, *, clock: Callable[[], float]) -> None:
        self._streams = streams
        self._events = events
        self._clock = clock
        self._waiting: dict[str, _Taken] = {}
        self._last: dict[str, tuple[int, int, float]] = {}

    async def keep(self, experiment: Experiment, head: Head) -> None:
        """Take a snapshot when enough has happened, and write it once Postgres has all the events it stands for.

        Args:
            experiment: Its definition.
            head: Where it stands, as read over the streams' present connection.

        Raises:
            PostgresUnavailableError, StoreUnavailableError: to be tried again with a later head.
        """
        taken = self._waiting.get(experiment.id)
        if taken is not None and (taken.generation, taken.epoch) != (self._streams.generation, head.epoch):
            # The events it stands for may not be those that Postgres gets under these numbers.
            taken = None
            del self._waiting[experiment.id]
        if taken is None and self._is_due(experiment.id, head):
            taken = await self._take(experiment)
        if taken is not None and head.epoch == taken.epoch and head.committed >= taken.seq:
            await self._events.save_snapshot(taken.rows, taken.segments)
            del self._waiting[experiment.id]

    def wants(self, experiment_id: str, head: Head) -> bool:
        """Say whether there is something to do for an experiment that stands there."""
        return experiment_id in self._waiting or self._is_due(experiment_id, head)

    def forget(self, experiment_id: str) -> None:
        """Leave an experiment to the process that took its lease."""
        self._waiting.pop(experiment_id, None)
        self._last.pop(experiment_id, None)

    def _is_due(self, experiment_id: str, head: Head) -> bool:
        if head.epoch is None:
            return False
        epoch, seq, at = self._last.get(experiment_id, (0, 0, 0.0))
        new = head.seq - seq if head.epoch == epoch else head.seq
        return new >= _EVENTS or (new > 0 and self._clock() - at >= _SECONDS)

    async def _take(self, experiment: Experiment) -> _Taken | None:
        counts = await self._streams.beliefs(experiment.id, len(experiment.arms))
        state, now = counts.state, self._clock()
        if state.epoch is None:
            return None
        rows = tuple(_rows(experiment, counts, state.epoch, now))
        segments = tuple(_segments(experiment, counts))
        taken = _Taken(self._streams.generation, state.epoch, state.seq, rows, segments)
        self._waiting[experiment.id] = taken
        self._last[experiment.id] = (state.epoch, state.seq, now)
        return taken


def _segments(experiment: Experiment, counts: BeliefCounts) -> Iterator[SegmentCount]:
    names = experiment.segments
    for (segment, arm_index), rewards in counts.segment_rewards.items():
        yield SegmentCount(names[segment], arm_index, rewards, counts.segment_micro[segment, arm_index])


def _rows(experiment: Experiment, counts: BeliefCounts, epoch: int, now: float) -> list[SnapshotRow]:
    state = counts.state
    # Rewards of the holdout are counted as a whole: they stand with the arm that it is served.
    control = experiment.arm(experiment.control_arm or experiment.default_arm).index
    return [
        SnapshotRow(
            experiment_id=experiment.id,
            epoch=epoch,
            seq=state.seq,
            arm_index=arm.index,
            arm=arm.id,
            taken_at=now,
            alpha_micro=alpha,
            beta_micro=beta,
            decisions=state.decisions.get(arm.index, 0),
            rewards=state.rewards.get(arm.index, 0),
            holdout_decisions=state.holdout_decisions.get(arm.index, 0),
            holdout_rewards=state.holdout_rewards if arm.index == control else 0,
            holdout_reward_micro=state.holdout_reward_micro if arm.index == control else 0,
        )
        for arm, alpha, beta in zip(experiment.arms, counts.alpha_micro, counts.beta_micro, strict=True)
        if alpha is not None and beta is not None
    ]
