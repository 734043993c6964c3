"""What a statement touches does not grow with history: the present costs the same on a ledger with a long past."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from msgspec.structs import replace

from bandit_core.allocation import Allocation, ArmState, allocate
from bandit_core.guardrails import Guardrails
from bandit_core.policies import make_policy
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_local.testing.servers import MIGRATED, NewDatabase
from bandit_service.ledger.experiments import ExperimentsRepository, Page
from bandit_service.ledger.leases import LeasesRepository
from bandit_service.ledger.linear_outcomes import LinearOutcomes
from bandit_service.ledger.own_ids import OwnIdsRepository
from bandit_service.ledger.partitions import Day, Partitions
from bandit_service.ledger.pool import Pool, connected, make_pool, statement
from bandit_service.ledger.producers import Producers
from bandit_service.ledger.retention import RetentionStore
from bandit_service.ledger.served import ServedRepository
from bandit_service.ledger.snapshots import SnapshotsRepository
from bandit_service.ledger.totals import TotalsRepository
from bandit_service.ledger.traffic import TrafficRepository
from bandit_service.ledger.weights import NewWeights, WeightsRepository

from .decisions import START_MS
from .history import Present, new_experiments, present_events, write_past
from .plans import Touched, explaining

# An index of a hundred times as many rows is a level or two higher: some blocks more for each row that is looked for.
_MORE_ROWS: Final = 1.2
_MORE_BLOCKS: Final = 2.0
# A table of so many blocks is read as a whole rather than through its index.
_FEW_BLOCKS: Final = 100
# What is left out: comparing totals, dropping a day and erasing units, which read events by their nature, and these.
_GROWS: Final = {
    "exposed_unit_counts": "counts every unit of an experiment, in the index",
    "partitions": "names the days",
    "retention_linear": "looks into an index of each day",
}
VERSIONS: Final = 40


class Load:
    """What a process does, each once, on a ledger that has a present."""

    def __init__(self, pool: Pool, present: Present) -> None:
        self.pool = pool
        self.present = present
        self.experiments = present.experiments
        self.names = [experiment.id for experiment in present.experiments]

    async def run(self) -> None:
        await self._answer()
        await self._settle_and_close()
        await self._learn()
        await self._look_after()
        await self._report()
        await self._keep()

    async def _answer(self) -> None:
        """Decisions and rewards of every experiment, new ones and such that are there already."""
        present, now_ms = self.present, START_MS + 10_000_000
        known = [event for event in present_events(self.experiments) if event.kind in ("decision", "reward")][-200:]
        new = [
            replace(event, decision_id=f"new{event.decision_id}", decision_ms=now_ms, event_ms=now_ms)
            for event in known
        ]
        claimed = [replace(event, claim="{}") for event in new if event.kind == "decision"][:20]
        others = [event for event in new if event.decision_id not in {each.decision_id for each in claimed}]
        await present.write([*claimed, *others, *known])
        await present.writer.first([*claimed, *known], present.timeline)
        await OwnIdsRepository(self.pool).read(claimed[0].experiment_id, claimed[0].decision_id)

    async def _settle_and_close(self) -> None:
        settling = self.present.settling
        for experiment in self.experiments:
            lease = self.present.lease(experiment)
            await settling.settle(lease, experiment)
            if experiment.missing_reward == "zero":
                for _ in range(3):
                    await settling.close(lease, experiment, round(time.time() * 1_000))

    async def _learn(self) -> None:
        outcomes = LinearOutcomes(self.pool)
        [first, *_] = [experiment for experiment in self.experiments if experiment.is_contextual]
        lease = self.present.lease(first)
        turn = await outcomes.turn(lease)
        await outcomes.last_turn(first.id)
        await outcomes.checkpoint(first.id)
        parameters = {"experiment_id": first.id, "after": self.present.turn, "until": turn}
        async with connected(self.pool) as connection:
            await connection.execute(statement("linear_outcomes"), parameters)

    async def _look_after(self) -> None:
        leases, producers = LeasesRepository(self.pool, holder="me"), Producers(self.pool)
        await self._beat()
        await producers.all()
        await producers.have_written(START_MS, self.names[0])
        await leases.claim(5.0)
        await leases.unsettled(self.names)
        await leases.due({experiment.id: experiment.reward_window for experiment in self.experiments})
        totals = TotalsRepository(self.pool)
        await totals.changed(self.names)
        await totals.merge(self.names, 1_000)
        await totals.read(self.names, dict.fromkeys(self.names, 1_000))
        record, allocation = _weights()
        weights = WeightsRepository(self.pool)
        new = NewWeights.of(self.present.lease(self.experiments[0]), record, allocation.explanation)
        await weights.publish([new])
        await ServedRepository(self.pool).changes(time.time() - 10.0)
        await ServedRepository(self.pool).read(self.names)
        await SnapshotsRepository(self.pool).take_due(self.names, 60.0)

    async def _beat(self) -> None:
        now_ms = round(time.time() * 1_000)
        await Producers(self.pool).heartbeat("me", drained_to_ms=now_ms, timeline=self.present.timeline, dead_after=5.0)

    async def _report(self) -> None:
        await TotalsRepository(self.pool).read(self.names[:1])
        await WeightsRepository(self.pool).explained(self.names[:1])
        traffic = TrafficRepository(self.pool)
        await traffic.recent_selections(self.names[0], START_MS / 1_000 + 7_200, 600.0)
        await traffic.unit_counts(self.names[0])
        await ExperimentsRepository(self.pool).search(Page(limit=10))
        await ExperimentsRepository(self.pool).changes(self.names[0], limit=10)
        # Posteriors are those of processes that were heard of in the last seconds.
        await self._beat()
        async with connected(self.pool) as connection:
            await connection.execute(statement("held_posteriors"))
            await connection.execute(statement("waiting"))

    async def _keep(self) -> None:
        """What retention asks each few minutes, whether or not there is a day to drop."""
        day = Day.of(datetime.fromtimestamp(START_MS / 1_000, UTC) - timedelta(days=2))
        await RetentionStore(self.pool).is_over(day, datetime.now(UTC))
        await Partitions(self.pool).days()


def _weights() -> tuple[AllocationRecord, Allocation]:
    states = [ArmState(arm, 3.0, 5.0, 6) for arm in "abc"]
    found = allocate(
        arms=states,
        policy=make_policy("thompson", {}),
        guardrails=Guardrails(min_trials=0, max_step=1.0, min_weight=0.05, cooldown=0.0),
        previous=None,
        seconds_since_change=None,
    )
    record = AllocationRecord(
        version=0,
        revision=1,
        published_at=time.time(),
        changed_at=1.0,
        weights=found.weights,
        prob_best=dict.fromkeys("abc", 0.3),
        expected_loss=dict.fromkeys("abc", 0.1),
    )
    return record, found


async def touched(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, events: int, *, days: int
) -> dict[str, Touched]:
    """Return what each statement touches on a ledger with so many events of the past."""
    with new_database(MIGRATED) as dsn:
        async with make_pool(dsn, max_size=2) as pool:
            experiments = await new_experiments(pool)
            await write_past(pool, events, days=days, versions=VERSIONS)
            load = Load(pool, await Present.of(pool, experiments))
            with explaining(monkeypatch) as found:
                await load.run()
    return found


def assert_alike(few: dict[str, Touched], many: dict[str, Touched], capsys: pytest.CaptureFixture[str]) -> None:
    assert few.keys() == many.keys()
    lines = [f"\n{'statement':24}{'rows':>8}{'':>8}{'blocks':>8}{'':>8}{'planning':>9}"]
    grown = []
    for name in sorted(few):
        less, more = few[name], many[name]
        line = f"{name:24}{less.rows:8}{more.rows:8}{less.blocks:8}{more.blocks:8}{less.planned:9}{more.planned:9}"
        lines.append(line)
        has_grown = more.rows > _MORE_ROWS * less.rows or more.blocks > _MORE_BLOCKS * less.blocks
        if has_grown and more.blocks > _FEW_BLOCKS and name not in _GROWS:
            grown.append(line)
    with capsys.disabled():
        sys.stdout.write("\n".join(lines) + "\n")
    assert not grown, "these look at more where there is more of the past:\n" + "\n".join(grown)


async def test_statements_touch_as_much_where_there_is_more_of_the_past(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = await touched(new_database, monkeypatch, 6_000, days=3)
    assert_alike(few, await touched(new_database, monkeypatch, 60_000, days=12), capsys)


@pytest.mark.verify
async def test_statements_touch_as_much_after_five_million_events(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = await touched(new_database, monkeypatch, 50_000, days=3)
    assert_alike(few, await touched(new_database, monkeypatch, 5_000_000, days=30), capsys)
