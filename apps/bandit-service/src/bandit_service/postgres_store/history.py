"""Allocations and posterior snapshots on their way to Postgres: noted at once, written when it answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import structlog

from bandit_core.allocation import Allocation
from bandit_service.allocator.record import AllocationRecord
from bandit_service.experiments.definition import Experiment
from bandit_service.postgres_store.events import EventLog, SnapshotRow
from bandit_service.redis_store.store import RedisStore, State

_PENDING = 1_000
_SNAPSHOT_EVENTS = 10_000
_SNAPSHOT_SECONDS = 60.0
log = structlog.get_logger(__name__)


class History:
    """What is worth keeping about how beliefs and weights moved."""

    def __init__(self, events: EventLog, store: RedisStore, *, clock: Callable[[], float]) -> None:
        self._events = events
        self._store = store
        self._clock = clock
        self._allocations: deque[tuple[str, AllocationRecord, Allocation]] = deque(maxlen=_PENDING)
        self._snapshots: dict[str, list[SnapshotRow]] = {}
        self._last: dict[str, tuple[int, int, float]] = {}

    def keep(self, experiment_id: str, record: AllocationRecord, allocation: Allocation) -> None:
        """Note a material change of weights; past a thousand waiting the oldest gives way."""
        self._allocations.append((experiment_id, record, allocation))

    async def flush(self) -> None:
        """Write what was noted.

        Raises:
            PostgresUnavailableError: the rest waits for the next call.
        """
        while self._allocations:
            experiment_id, record, allocation = self._allocations[0]
            explanation = allocation.explanation
            await self._events.save_allocation(experiment_id, record, explanation.to_dict(), explanation.paragraph())
            self._allocations.popleft()

    async def snapshot(self, experiment: Experiment, state: State) -> None:
        """Take a snapshot when enough has happened, and write it once Postgres has all the events it stands for."""
        waiting = self._snapshots.get(experiment.id)
        if waiting is None and self._is_due(experiment.id, state):
            waiting = await self._take(experiment)
        if not waiting:
            return
        epoch, seq = waiting[0].epoch, waiting[0].seq
        if state.epoch != epoch:
            del self._snapshots[experiment.id]
        elif state.committed >= seq:
            await self._events.save_snapshot(waiting)
            del self._snapshots[experiment.id]

    def _is_due(self, experiment_id: str, state: State) -> bool:
        epoch, seq, at = self._last.get(experiment_id, (0, 0, 0.0))
        new = state.seq - seq if state.epoch == epoch else state.seq
        return new >= _SNAPSHOT_EVENTS or (new > 0 and self._clock() - at >= _SNAPSHOT_SECONDS)

    async def _take(self, experiment: Experiment) -> list[SnapshotRow] | None:
        counts = await self._store.beliefs(experiment.id, len(experiment.arms))
        state, now = counts.state, self._clock()
        if state.epoch is None:
            return None
        control = experiment.arm(experiment.control_arm or experiment.default_arm).index
        rows = [
            SnapshotRow(
                experiment_id=experiment.id,
                epoch=state.epoch,
                seq=state.seq,
                arm_index=arm.index,
                arm=arm.id,
                taken_at=now,
                alpha_micro=alpha,
                beta_micro=beta,
                decisions=state.decisions.get(arm.index, 0),
                rewards=state.rewards.get(arm.index, 0),
                holdout_decisions=state.holdout_decisions if arm.index == control else 0,
                holdout_rewards=state.holdout_rewards if arm.index == control else 0,
                holdout_reward_micro=state.holdout_reward_micro if arm.index == control else 0,
            )
            for arm, alpha, beta in zip(experiment.arms, counts.alpha_micro, counts.beta_micro, strict=True)
            if alpha is not None and beta is not None
        ]
        self._snapshots[experiment.id] = rows
        self._last[experiment.id] = (state.epoch, state.seq, now)
        return rows
