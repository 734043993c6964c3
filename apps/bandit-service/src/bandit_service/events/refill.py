"""Rebuild an experiment's state in the store from Postgres, after the store came back empty or older.

Postgres raises the experiment's epoch first: that fences off every writer and refiller of an earlier one. Then the
state is folded from the last snapshot and the events after it, written piece by piece, and made ready in one last step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import batched

import msgspec
import structlog

from bandit_service.domain.allocation import AllocationRecord, encode_allocation
from bandit_service.domain.event import EventRecord, Kind
from bandit_service.domain.experiment import MICRO, Experiment
from bandit_service.events.operations import pending_member
from bandit_service.ledger.events import ArmTotals, EventLog, OpenWindow, SegmentCount
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.store import RedisStore

MARKER_GRACE_MS = 3_600_000
_PIECE = 1_000
_MARKED: tuple[Kind, ...] = ("late", "activation", "reward")
# More than what other processes can have published since this one last looked.
_UNSEEN_VERSIONS = 1_000
_encode = msgspec.json.Encoder().encode
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Posterior:
    """The two sums of an arm in millionths, prior included: alpha and beta, or rewards and squares if gaussian."""

    alpha_micro: int
    beta_micro: int


def posterior_of(
    prior_alpha_micro: int, prior_beta_micro: int, totals: ArmTotals, *, is_gaussian: bool = False
) -> Posterior:
    """Return what a fold of events makes of a prior: successes add r, failures 1 - r; if gaussian r and its square."""
    second = totals.square_micro if is_gaussian else totals.rewards * MICRO - totals.reward_micro
    return Posterior(prior_alpha_micro + totals.reward_micro, prior_beta_micro + second)


class Refiller:
    """Brings one experiment at a time back into the store. Replicas take turns; a turn that is lost is fenced off."""

    def __init__(
        self,
        store: RedisStore,
        events: EventLog,
        *,
        token: str,
        clock: Callable[[], float],
        turn_seconds: float = 5.0,
    ) -> None:
        self._store = store
        self._events = events
        self._token = token
        self._clock = clock
        self._turn_seconds = turn_seconds

    async def refill(self, experiment: Experiment, allocation: AllocationRecord | None) -> int | None:
        """Rebuild the experiment under a new epoch and return that; None if another process has the turn.

        Args:
            experiment: Its definition as Postgres has it.
            allocation: The weights that this process serves, if any.

        Raises:
            PostgresUnavailableError, StoreUnavailableError, StoreFullError: not done; try again later.
        """
        if not await self._store.take_refill(experiment.id, self._token, self._turn_seconds):
            return None
        keeping = asyncio.create_task(self._keep_turn(experiment.id))
        try:
            return await self._rebuild(experiment, allocation)
        finally:
            keeping.cancel()
            await self._store.end_refill_turn(experiment.id, self._token)

    async def _keep_turn(self, experiment_id: str) -> None:
        """Hold the turn for as long as this process lives: if it dies, another one need not wait for long."""
        while True:
            await asyncio.sleep(self._turn_seconds / 3)
            with suppress(StoreUnavailableError, StoreFullError):
                await self._store.take_refill(experiment_id, self._token, self._turn_seconds)

    async def _rebuild(self, experiment: Experiment, allocation: AllocationRecord | None) -> int | None:
        started = self._clock()
        position = await self._events.raise_epoch(experiment.id)
        if position is None or not await self._store.refill_begin(experiment.id, position.epoch):
            return None
        writer = _Pieces(self._store, experiment.id, position.epoch)
        snapshot = await self._events.last_snapshot(experiment.id, experiment.priors)
        totals = await self._events.fold(experiment.id, snapshot, is_gaussian=experiment.is_gaussian)
        await writer.values(_posteriors(experiment, totals))
        if experiment.segment_by:
            await writer.segments(await self._events.fold_segments(experiment.id, snapshot), experiment.segments)
        await self._remembered(experiment, writer)
        record = await self._weights(experiment.id, allocation, position.epoch)
        if record is not None:
            await writer.values([(writer.keys.allocation, encode_allocation(record).decode(), None)])
        await self._store.define(experiment.id, experiment.revision, _encode(experiment), experiment.priors)
        counters = _counters(totals) | {
            "seq": position.committed_seq,
            "committed": position.committed_seq,
            "version": 1,
            "weights_version": record.version if record else 0,
        }
        if writer.fenced or not await self._store.refill_end(experiment.id, position.epoch, counters):
            return None
        seconds = self._clock() - started
        log.info("refilled", experiment_id=experiment.id, epoch=position.epoch, seconds=round(seconds, 3))
        return position.epoch

    async def _weights(self, experiment_id: str, known: AllocationRecord | None, epoch: int) -> AllocationRecord | None:
        """Return the last known weights under a version that nobody has published before."""
        kept = await self._events.last_allocation(experiment_id)
        last = max(filter(None, (known, kept)), key=lambda record: record.version, default=None)
        if last is None:
            return None
        return msgspec.structs.replace(last, version=last.version + _UNSEEN_VERSIONS, epoch=epoch, belief_version=-1)

    async def _remembered(self, experiment: Experiment, writer: _Pieces) -> None:
        """Write what scripts look up: markers and callers' own decisions of open windows, pending windows, units."""
        window_ms = round(experiment.reward_window * 1_000)
        life_ms = window_ms + MARKER_GRACE_MS
        since_ms = round(self._clock() * 1_000) - life_ms
        windows = await self._events.open_windows(experiment.id) if experiment.missing_reward == "zero" else []
        await writer.pending(windows, window_ms, experiment.segments)
        await self._markers(experiment.id, writer, windows, since_ms, life_ms)
        async for page in self._events.own_decisions(experiment.id, since_ms, experiment.segments):
            await writer.values(
                (writer.keys.own_decision(name), writer.stamp + _encode(decision).decode(), life_ms)
                for name, decision in page
            )
        if experiment.is_contextual:
            await self._contexts(experiment.id, writer, windows, since_ms, life_ms)
        if experiment.assignment == "sticky":
            async for units in self._events.exposed_units(experiment.id):
                await writer.units(units)

    async def _contexts(
        self, experiment_id: str, writer: _Pieces, windows: Sequence[OpenWindow], since_ms: int, life_ms: int
    ) -> None:
        waiting = {window.decision_id for window in windows}
        since_ms = min([since_ms, *(window.decision_ms for window in windows)])
        async for page in self._events.contexts(experiment_id, since_ms):
            await writer.values(
                (writer.keys.context(decision_id), writer.stamp + context, None if decision_id in waiting else life_ms)
                for decision_id, context in page
            )

    async def _markers(
        self, experiment_id: str, writer: _Pieces, windows: Sequence[OpenWindow], since_ms: int, life_ms: int
    ) -> None:
        # While a window is open its reward is kept, however late the closing may come.
        waiting = {window.decision_id for window in windows}
        since_ms = min([since_ms, *(window.decision_ms for window in windows)])
        # A reward that was taken comes after one that was too late, and so outweighs it.
        for kind in _MARKED:
            async for page in self._events.markers(experiment_id, kind, since_ms):
                await writer.values(
                    (
                        writer.marker(kind, decision_id, position),
                        writer.stamp + _marker_value(kind, micro),
                        None if decision_id in waiting and kind != "activation" else life_ms,
                    )
                    for decision_id, position, micro in page
                )


class _Pieces:
    """Writes values in pieces that a script can take at once, until a later refill fences this one off."""

    def __init__(self, store: RedisStore, experiment_id: str, epoch: int) -> None:
        self._store = store
        self._experiment_id = experiment_id
        self._epoch = epoch
        self.keys = ExperimentKeys(experiment_id)
        self.stamp = f"{epoch}|"
        self.fenced = False

    async def values(self, items: Iterable[tuple[str, str, int | None]]) -> None:
        """Write (key, value, life in ms) triples."""
        for piece in batched(items, _PIECE):
            arguments: list[str | int] = []
            for _, value, life_ms in piece:
                arguments += ("S", value, "" if life_ms is None else life_ms)
            await self._write([key for key, _, _ in piece], arguments)

    def marker(self, kind: Kind, decision_id: str, position: int) -> str:
        """Name the key that says that an event of this kind has happened to a decision."""
        return self.keys.activated(decision_id) if kind == "activation" else self.keys.rewarded(decision_id, position)

    async def pending(self, windows: Sequence[OpenWindow], window_ms: int, segments: Sequence[str]) -> None:
        for piece in batched(windows, _PIECE):
            arguments: list[str | int] = []
            for window in piece:
                record = EventRecord(
                    window.decision_id, window.decision_ms, 0, window.arm_index, "bandit", position=window.position
                )
                segment = None if window.segment is None else segments.index(window.segment)
                arguments += ("Z", window.decision_ms + window_ms, pending_member(record, segment))
            await self._write([], arguments)

    async def segments(self, counts: Sequence[SegmentCount], segments: Sequence[str]) -> None:
        numbers = {name: number for number, name in enumerate(segments)}
        for piece in batched(counts, _PIECE):
            arguments: list[str | int] = []
            for count in piece:
                place = f"{numbers[count.segment]}:{count.arm_index}"
                arguments += ("H", f"n:{place}", count.rewards, "H", f"r:{place}", count.reward_micro)
            await self._write([], arguments)

    async def units(self, names: Sequence[str]) -> None:
        for piece in batched(names, _PIECE):
            await self._write([], [argument for name in piece for argument in ("U", name)])

    async def _write(self, keys: list[str], arguments: list[str | int]) -> None:
        if not self.fenced:
            self.fenced = not await self._store.refill_chunk(self._experiment_id, self._epoch, keys, arguments)


def _posteriors(experiment: Experiment, totals: dict[int, ArmTotals]) -> Iterator[tuple[str, str, None]]:
    keys = ExperimentKeys(experiment.id)
    for index, prior in experiment.priors.items():
        posterior = posterior_of(*prior, totals.get(index, ArmTotals()), is_gaussian=experiment.is_gaussian)
        yield keys.alpha(index), str(posterior.alpha_micro), None
        yield keys.beta(index), str(posterior.beta_micro), None


def _marker_value(kind: Kind, micro: int | None) -> str:
    if kind != "reward":
        return "late" if kind == "late" else "1"
    return "" if micro is None else str(micro)


def _counters(totals: dict[int, ArmTotals]) -> dict[str, int]:
    counters: dict[str, int] = {}
    for index, arm in totals.items():
        counters[f"d:{index}"] = arm.decisions
        counters[f"n:{index}"] = arm.rewards
        counters[f"hd:{index}"] = arm.holdout_decisions
    counters["holdout_rewards"] = sum(arm.holdout_rewards for arm in totals.values())
    counters["holdout_reward_micro"] = sum(arm.holdout_reward_micro for arm in totals.values())
    return counters
