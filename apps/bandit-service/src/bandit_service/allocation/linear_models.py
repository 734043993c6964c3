"""Linear models of the experiments whose lease this process holds, learnt from outcomes that Postgres has committed.

A model is the exact sum of its outcomes, so it is the same to the bit however it came about. Turns of settling have no
gaps: whatever this process missed, also a turn whose commit it never heard of, is found by its number and read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bandit_core.features import GREATEST
from bandit_core.linear import LinearPrior
from bandit_core.linear_sums import LinearSums
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.linear_record import LinearRecord
from bandit_core.rules.vectors import linear_prior_of
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.linear_outcomes import Checkpoint, LearntOutcome, LinearOutcomes
from bandit_service.ledger.settling import Settled

CHECKPOINT_OUTCOMES: Final = 10_000
CHECKPOINT_SECONDS: Final = 60.0
_RECENT: Final = 256
# More than so many would keep the process from its requests for long.
_AT_ONCE: Final = 500
_decode_numbers: Final = msgspec.json.Decoder(list[float]).decode


class Models(NamedTuple):
    """The models of the arms, without retired ones, to be published under a version; contexts of late (N, n)."""

    record: LinearRecord
    contexts: NDArray[np.float64]


class _State(msgspec.Struct, array_like=True, frozen=True):
    """A checkpoint: the sums of each arm, and the contexts last learnt from."""

    sums: dict[int, bytes]
    contexts: list[list[float]]


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What was learnt up to a turn under a lease. `intercept` is what stands behind the numbers of a context."""

    experiment_id: str
    lease: Lease | None
    prior: LinearPrior
    intercept: tuple[float, ...]
    turn: int = 0
    sums: Mapping[int, LinearSums] = field(default_factory=dict)
    contexts: tuple[list[float], ...] = ()
    since_checkpoint: int = 0

    def after(self, outcomes: Iterable[LearntOutcome], turn: int) -> _Learnt:
        """Return what is known after further outcomes. One without a context of this experiment teaches nothing."""
        by_arm: dict[int, list[tuple[list[float], int, float]]] = {}
        contexts = []
        for outcome in outcomes:
            numbers = _numbers(outcome.context, self.prior.dimension - len(self.intercept))
            if numbers is not None:
                row = ([*numbers, *self.intercept], outcome.reward_micro, outcome.event_ms / 1_000)
                by_arm.setdefault(outcome.arm_index, []).append(row)
                contexts.append(numbers)
        sums = dict(self.sums)
        for arm_index, rows in by_arm.items():
            vectors, rewards, times = zip(*rows, strict=True)
            known = sums.get(arm_index) or LinearSums.of(self.prior)
            sums[arm_index] = known.plus(np.array(vectors), np.array(rewards), np.array(times))
        recent = (*self.contexts, *contexts)[-_RECENT:]
        return replace(
            self, turn=turn, sums=sums, contexts=recent, since_checkpoint=self.since_checkpoint + len(contexts)
        )

    def encoded(self) -> bytes:
        state = _State({arm_index: each.to_bytes() for arm_index, each in self.sums.items()}, list(self.contexts))
        return msgspec.msgpack.encode(state)


class LinearModels:
    """The linear models of contextual experiments. `clock` is in seconds."""

    def __init__(self, outcomes: LinearOutcomes, *, clock: Callable[[], float]) -> None:
        self._outcomes = outcomes
        self._clock = clock
        self._learnt: dict[str, _Learnt] = {}
        self._kept_at: dict[str, float] = {}
        self._reading: dict[str, asyncio.Lock] = {}

    def forget(self, experiment_id: str) -> None:
        """Leave an experiment to the process that took its lease, or begin anew from Postgres."""
        self._learnt.pop(experiment_id, None)
        self._kept_at.pop(experiment_id, None)

    async def models(self, lease: Lease, experiment: Experiment) -> Models | None:
        """Return the models of all outcomes that are committed; None for an experiment that has none.

        Raises:
            PostgresUnavailableError: Postgres is away.
            FencedError: the lease has gone to another process.
        """
        if not experiment.is_contextual:
            return None
        async with self._reading.setdefault(experiment.id, asyncio.Lock()):
            learnt = await self._caught_up(lease, experiment)
        contexts = np.array(learnt.contexts, dtype=np.float64)
        return Models(await asyncio.to_thread(_published, experiment, learnt), contexts)

    async def record(self, experiment: Experiment) -> LinearRecord | None:
        """Return the models of all outcomes that are committed, for a process without the lease.

        Raises:
            PostgresUnavailableError: Postgres is away.
        """
        if not experiment.is_contextual:
            return None
        turn = await self._outcomes.last_turn(experiment.id)
        learnt = await self._up_to(turn, await self._restored(None, experiment, linear_prior_of(experiment)))
        return await asyncio.to_thread(_published, experiment, learnt)

    def take(self, settled: Settled) -> None:
        """Learn what a turn has settled, if everything before it is known here; else it is read when it is needed."""
        learnt = self._learnt.get(settled.experiment_id)
        if learnt is not None and settled.turn and settled.before == learnt.turn:
            outcomes = [
                LearntOutcome(each.arm_index, each.reward_micro, each.event_ms, each.context)
                for each in settled.outcomes
                if each.context is not None
            ]
            self._learnt[settled.experiment_id] = learnt.after(outcomes, settled.turn)

    async def keep(self, lease: Lease, experiment: Experiment) -> None:
        """Take a checkpoint when enough has been learnt since the last one.

        Raises:
            PostgresUnavailableError: to be tried again.
            FencedError: the lease has gone to another process.
        """
        learnt, now = self._learnt.get(experiment.id), self._clock()
        if learnt is None or learnt.lease != lease or not learnt.since_checkpoint:
            return
        kept_at = self._kept_at.setdefault(experiment.id, now)
        if learnt.since_checkpoint < CHECKPOINT_OUTCOMES and now - kept_at < CHECKPOINT_SECONDS:
            return
        state = await asyncio.to_thread(learnt.encoded)
        await self._outcomes.save(lease, Checkpoint(learnt.turn, state))
        self._kept_at[experiment.id] = now
        known = self._learnt.get(experiment.id)
        if known is not None and known.lease == lease:
            rest = known.since_checkpoint - learnt.since_checkpoint
            self._learnt[experiment.id] = replace(known, since_checkpoint=max(0, rest))

    async def _caught_up(self, lease: Lease, experiment: Experiment) -> _Learnt:
        """Return what all committed outcomes teach, reading those that are not known here."""
        turn = await self._outcomes.turn(lease)
        prior = linear_prior_of(experiment)
        learnt = self._learnt.get(experiment.id)
        if learnt is None or learnt.lease != lease or not _fits(learnt.prior, prior):
            learnt = await self._restored(lease, experiment, prior)
        learnt = self._learnt[experiment.id] = await self._up_to(turn, learnt)
        return learnt

    async def _up_to(self, turn: int, learnt: _Learnt) -> _Learnt:
        """Return what is known after the outcomes of all turns up to this one."""
        if learnt.turn < turn:
            async for page in self._outcomes.pages(learnt.experiment_id, learnt.turn, turn):
                learnt = await _after(learnt, page)
        return replace(learnt, turn=max(turn, learnt.turn))

    async def _restored(self, lease: Lease | None, experiment: Experiment, prior: LinearPrior) -> _Learnt:
        """Return the last checkpoint; nothing learnt if there is none, or one of another half-life."""
        intercept = (1.0,) if experiment.context is not None and experiment.context.intercept else ()
        empty = _Learnt(experiment.id, lease, prior, intercept)
        checkpoint = await self._outcomes.checkpoint(experiment.id)
        if checkpoint is None:
            return empty
        state = msgspec.msgpack.decode(checkpoint.state, type=_State)
        sums = {arm_index: LinearSums.from_bytes(each) for arm_index, each in state.sums.items()}
        if not all(each.fits(prior) for each in sums.values()):
            return empty
        return replace(empty, turn=checkpoint.turn, sums=sums, contexts=tuple(state.contexts))


def _published(experiment: Experiment, learnt: _Learnt) -> LinearRecord:
    # A paused arm may be back before the next publication.
    arms = [arm for arm in experiment.arms if arm.status != "retired"]
    prior = linear_prior_of(experiment)
    # What was learnt fades for every arm alike, as of the newest outcome of all.
    newest = max((each.newest for each in learnt.sums.values()), default=0.0)
    models = [(learnt.sums.get(arm.index) or LinearSums.of(prior)).model(prior, newest) for arm in arms]
    return LinearRecord(
        version=0,
        turn=learnt.turn,
        arms=tuple(arm.id for arm in arms),
        theta=np.array([model.mean for model in models], dtype="<f8").tobytes(),
        covariance=np.array([model.covariance for model in models], dtype="<f8").tobytes(),
    )


async def _after(learnt: _Learnt, outcomes: list[LearntOutcome]) -> _Learnt:
    if len(outcomes) > _AT_ONCE:
        return await asyncio.to_thread(learnt.after, outcomes, learnt.turn)
    return learnt.after(outcomes, learnt.turn)


def _fits(known: LinearPrior, wanted: LinearPrior) -> bool:
    return (known.dimension, known.half_life) == (wanted.dimension, wanted.half_life)


def _numbers(context: str, count: int) -> list[float] | None:
    """Return the numbers of a context; None for one that is not of an experiment with so many."""
    try:
        numbers = _decode_numbers(context)
    except msgspec.DecodeError:
        return None
    return numbers if len(numbers) == count and all(abs(number) <= GREATEST for number in numbers) else None
