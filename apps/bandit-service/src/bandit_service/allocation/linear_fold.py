"""Linear models as the fold of the reward stream, in its order, by the process that holds the experiment's lease.

Only what Postgres has committed is folded: those events and their order are final, so a model is never taken back, and
one that is rebuilt is the same to the bit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bandit_core.linear import LinearArm, LinearPrior
from bandit_service.domain.event import decode_record
from bandit_service.domain.experiment import MICRO, Experiment
from bandit_service.domain.linear_model import LinearRecord
from bandit_service.domain.vectors import linear_prior_of
from bandit_service.ledger.events import EventLog, LearntEvent, LinearSnapshot, StreamBatch, StreamEvent

SNAPSHOT_EVENTS: Final = 10_000
SNAPSHOT_SECONDS: Final = 60.0
_RECENT: Final = 256
# Folding more than so many would keep the process from its requests for long.
_AT_ONCE: Final = 200
_decode_numbers = msgspec.json.Decoder(list[float]).decode


@dataclass(slots=True)
class Folded:
    """The models of all arms up to (epoch, seq), and the contexts last folded (without the intercept)."""

    prior: LinearPrior
    epoch: int
    seq: int
    arms: dict[int, LinearArm] = field(default_factory=dict)
    newest: float = 0.0
    contexts: deque[list[float]] = field(default_factory=lambda: deque(maxlen=_RECENT))
    kept_seq: int = 0
    kept_at: float = 0.0
    learnt: int = 0

    def model(self, arm_index: int) -> LinearArm:
        """Return an arm's model as it is at the newest event: what was learnt fades for every arm alike."""
        arm = self.arms.get(arm_index)
        return LinearArm.of(self.prior) if arm is None else arm.decayed(self.prior, self.newest)

    def learn(self, events: Iterable[LearntEvent], intercept: Sequence[float]) -> None:
        for event in events:
            numbers = _decode_numbers(event.context)
            x = np.array([*numbers, *intercept])
            at = event.event_ms / 1_000
            arm = self.arms.get(event.arm_index) or LinearArm.of(self.prior)
            self.arms[event.arm_index] = arm.update(self.prior, x, event.reward_micro / MICRO, at)
            self.newest = max(self.newest, at)
            self.contexts.append(numbers)
            self.learnt += 1


class Models(NamedTuple):
    """The models of the arms, without retired ones, to be published under a version; contexts of late (N, n)."""

    record: LinearRecord
    contexts: NDArray[np.float64]


class LinearFold:
    """The linear models of the experiments whose lease this process holds."""

    def __init__(self, events: EventLog, *, clock: Callable[[], float]) -> None:
        self._events = events
        self._clock = clock
        self._folded: dict[str, Folded] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    def seq(self, experiment_id: str) -> int:
        """Return up to which event an experiment is folded here; 0 if it is not."""
        folded = self._folded.get(experiment_id)
        return 0 if folded is None else folded.seq

    def forget(self, experiment_id: str) -> None:
        """Leave an experiment to the process that took its lease."""
        self._folded.pop(experiment_id, None)
        self._turns.pop(experiment_id, None)

    async def models(self, experiment: Experiment) -> Models:
        """Return the models of an experiment's arms, from Postgres if they are not here yet.

        Raises:
            PostgresUnavailableError: they are not, and it is away.
        """
        async with self._turn(experiment.id):
            folded = self._folded.get(experiment.id) or await self._load(experiment)
            return Models(_published(experiment, folded), np.array(folded.contexts, dtype=np.float64))

    async def take(self, experiment: Experiment, batch: StreamBatch) -> None:
        """Fold a batch that Postgres has just committed.

        Raises:
            PostgresUnavailableError: what comes before it is not here, and Postgres is away.
        """
        async with self._turn(experiment.id):
            folded = self._folded.get(experiment.id)
            if folded is None or batch.events[0].seq > folded.seq + 1:
                await self._load(experiment)
                return
            await _learn(experiment, folded, list(_learnt(batch, folded.seq)))
            folded.epoch, folded.seq = batch.epoch, max(folded.seq, batch.events[-1].seq)

    async def keep(self, experiment: Experiment) -> None:
        """Take a snapshot when enough has been learnt since the last.

        Raises:
            PostgresUnavailableError: to be tried again.
        """
        async with self._turn(experiment.id):
            folded, now = self._folded.get(experiment.id), self._clock()
            if folded is None or not folded.learnt or folded.seq == folded.kept_seq:
                return
            if folded.learnt < SNAPSHOT_EVENTS and now - folded.kept_at < SNAPSHOT_SECONDS:
                return
            states = {index: arm.to_bytes() for index, arm in folded.arms.items()}
            await self._events.save_linear_snapshot(
                experiment.id, LinearSnapshot(folded.epoch, folded.seq, states), now
            )
            folded.kept_seq, folded.kept_at, folded.learnt = folded.seq, now, 0

    def _turn(self, experiment_id: str) -> asyncio.Lock:
        return self._turns.setdefault(experiment_id, asyncio.Lock())

    async def _load(self, experiment: Experiment) -> Folded:
        position = await self._events.position(experiment.id)
        snapshot = await self._events.linear_snapshot(experiment.id)
        prior = linear_prior_of(experiment)
        arms = {index: LinearArm.from_bytes(state) for index, state in snapshot.states.items()}
        folded = Folded(prior, snapshot.epoch, snapshot.seq, arms)
        folded.newest = max((arm.as_of for arm in arms.values()), default=0.0)
        folded.kept_seq, folded.kept_at = snapshot.seq, self._clock()
        if position is not None:
            async for page in self._events.believed_contexts(
                experiment.id, snapshot.epoch, snapshot.seq, position.committed_seq
            ):
                await _learn(experiment, folded, page)
            folded.epoch, folded.seq = position.epoch, position.committed_seq
        self._folded[experiment.id] = folded
        return folded


def _published(experiment: Experiment, folded: Folded) -> LinearRecord:
    # A paused arm may be back before the next publication.
    arms = [arm for arm in experiment.arms if arm.status != "retired"]
    models = [folded.model(arm.index) for arm in arms]
    return LinearRecord(
        version=0,
        epoch=folded.epoch,
        seq=folded.seq,
        arms=tuple(arm.id for arm in arms),
        theta=np.array([model.mean for model in models], dtype="<f8").tobytes(),
        covariance=np.array([model.covariance for model in models], dtype="<f8").tobytes(),
    )


async def _learn(experiment: Experiment, folded: Folded, events: Sequence[LearntEvent]) -> None:
    intercept = [1.0] if experiment.context is not None and experiment.context.intercept else []
    if len(events) > _AT_ONCE:
        await asyncio.to_thread(folded.learn, events, intercept)
    else:
        folded.learn(events, intercept)


def _learnt(batch: StreamBatch, after: int) -> Iterator[LearntEvent]:
    """Yield what a model learns from, of the events behind a sequence number."""
    for event in batch.events:
        if event.seq > after and event.believed == b"1":
            learnt = _read(batch.epoch, event)
            if learnt is not None:
                yield learnt


def _read(epoch: int, event: StreamEvent) -> LearntEvent | None:
    record = decode_record(event.record)
    circumstances = record.circumstances
    context = event.context.decode() if event.context else None
    if context is None and circumstances is not None and circumstances.context is not None:
        context = msgspec.json.encode(circumstances.context).decode()
    micro = record.reward_micro if event.outcome is None else int(event.outcome or 0)
    if context is None or micro is None:
        return None
    return LearntEvent(epoch, event.seq, record.arm_index, micro, record.event_ms, context)
