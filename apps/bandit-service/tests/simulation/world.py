"""The world of one schedule: a loop, two stores, some processes, clients, and what happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final, cast

from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.units import UnitsRepository
from bandit_service.operations.erasure import Erasure

from .checker import Found, Health, check
from .clients import Clients
from .disturbances import Disturbances
from .experiments import ARMS, NAMES, SALT, definition, stored_unit
from .history import History
from .log import Log
from .loop import EndlessError, SimulatedLoop
from .monitor import MirrorMonitor
from .network import NetworkLink
from .postgres.server import SimulatedPostgres
from .redis.server import SimulatedRedis
from .replica import Replica, Surroundings
from .scale import DEAD_AFTER, KEPT, WINDOW
from .schedule import HOLDER, Activate, Direct, Erase, Fault, Reward, Schedule, Select, Step
from .situations import Seen, reached
from .told import Told

EPOCH: Final = 1_800_000_000.0
_STARTED_BY: Final = 5.0
# When the faults are over, everything has to be in order within so many seconds, windows included.
_MENDED_BY: Final = WINDOW + KEPT + 6 * DEAD_AFTER
_LOOK_EVERY: Final = 0.25
# Half a round trip of the slowest message that still sets a clock, and what the product allows itself.
_CLOCKS_DIFFER: Final = 0.7
# After any other fault a process may do without Redis for a while.
_WITHOUT_REDIS: Final = frozenset({"sessions_ended", "postgres_clock"})
_TABLES: Final = (
    "bandit_events",
    "arm_totals",
    "exposures",
    "unsettled",
    "open_buckets",
    "producers",
    "weights",
    "allocations",
    "weight_periods",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a schedule came to: what is wrong, and what tells whether two runs were the same."""

    wrong: tuple[str, ...]
    digest: int
    lasted: float
    told: tuple[Told, ...]
    situations: tuple[str, ...]


class World:
    """Everything there is in one schedule.

    Args:
        schedule: What is asked, and what fails.
        history: Where to note what happens, for one who wants to know which situations are reached.
    """

    def __init__(self, schedule: Schedule, history: History | None = None) -> None:
        self._history = history
        self._schedule = schedule
        self._rng = Random(f"world {schedule.seed}")
        self._loop = SimulatedLoop(self._rng)
        self.postgres = SimulatedPostgres(lambda: EPOCH + self._loop.time(), self._rng)
        self.redis = SimulatedRedis(lambda: EPOCH + self._loop.time())
        self._around = Surroundings(self._loop, self.postgres, self.redis, EPOCH)
        self._monitor = MirrorMonitor(self.redis, self.postgres)
        self._started = 0
        self.replicas: list[Replica] = []
        self._clients = Clients(self.replicas, self._rng, now=self._loop.time)
        self._disturbances = Disturbances(self, self._rng)
        self.postgres.moment = self._disturbances.moment
        self._erased: set[str] = set()
        self._clock_moved = 0.0
        self.created_at = 0.0
        self._log = Log()
        if history is not None:
            history.note(self.postgres, self.redis)

    def run(self) -> Outcome:
        """Run the schedule to its end."""
        with self._log.collecting():
            try:
                wrong = self._loop.run_until_complete(self._run())
            except EndlessError as error:
                wrong = [f"ENDLESS: {error}"]
            lasted, digest = self._loop.time(), self._loop.digest
            situations = tuple(self._situations())
            self._end()
        return Outcome(tuple(wrong), digest, lasted, tuple(self._clients.told), situations)

    def start_replica(self, place: int | None = None) -> None:
        """Start a process: one more, or one in the place of a former one."""
        self._started += 1
        # Until it has heard Postgres a process goes by its own clock.
        ahead = self._rng.choice((0.0, 0.0, 3.0, -40.0)) if self.postgres_answers else 0.0
        replica = Replica(f"process-{self._started}", self._around, self._rng, clock_ahead=ahead)
        if place is None:
            self.replicas.append(replica)
        else:
            self.replicas[place] = replica
        replica.start()

    def place_of(self, replica: int) -> int:
        """Return the place of a process that a fault names: by its place, or because it has a lease."""
        if replica != HOLDER:
            return replica % len(self.replicas)
        holders = (place for place, each in enumerate(self.replicas) if each.is_there and each.holds_leases)
        return next(holders, 0)

    @property
    def postgres_answers(self) -> bool:
        return self.postgres.is_up and not self.postgres.is_frozen and not self.postgres.database.is_read_only

    def set_ledger_clock(self, ahead: float) -> None:
        self._clock_moved = max(self._clock_moved, abs(ahead))
        self.postgres.set_clock_offset(ahead)

    async def _run(self) -> list[str]:
        await self._create_experiments()
        await asyncio.sleep(0.05)
        self.created_at = self._loop.time()
        for _ in range(self._schedule.replicas):
            self.start_replica()
        await self._started_up()
        begun = self._loop.time()
        steps = [asyncio.create_task(self._step(step, begun)) for step in self._schedule.steps]
        saves = [prepared for step in self._schedule.steps if (prepared := self._prepared(step)) is not None]
        for at, save in saves:
            self._loop.call_at(begun + at, save)
        if steps:
            await asyncio.wait(steps)
        for each in steps:
            each.result()
        self._disturbances.mend_everything()
        return await self._mended()

    async def _create_experiments(self) -> None:
        pool = self.postgres.pool(NetworkLink(self._rng, longest=2.0))
        await pool.open()
        repository = ExperimentsRepository(cast("Pool", pool))
        for name in NAMES:
            await repository.create(definition(name, EPOCH), Reason("simulation", "a schedule", EPOCH), unit_salt=SALT)
        await pool.close()

    def _prepared(self, step: Step) -> tuple[float, Callable[[], None]] | None:
        return self._disturbances.prepare(step) if isinstance(step, Fault) else None

    async def _step(self, step: Step, begun: float) -> None:
        await asyncio.sleep(begun + step.at - self._loop.time())
        match step:
            case Select():
                await self._clients.select(step)
            case Reward():
                await self._clients.reward(step)
            case Direct():
                await self._clients.reward_arm(step)
            case Activate():
                await self._clients.activate(step)
            case Erase():
                await self._erase(step.unit)
            case Fault():
                await self._disturbances.happen(step)

    async def _erase(self, unit: str) -> None:
        """Forget a unit, as the command does: again until it says that it has."""
        link = NetworkLink(self._rng, longest=2.0)
        pool = self.postgres.pool(link)
        await pool.open()
        erasure = Erasure(UnitsRepository(cast("Pool", pool)), patience=15.0, kept_seconds=KEPT)
        for _ in range(8):
            try:
                await erasure.erase("default", [unit])
            except Exception as error:  # noqa: BLE001 (an operator tries again, whatever it was)
                self._log.note("erasing", error)
                await asyncio.sleep(0.5)
            else:
                self._erased.add(unit)
                return

    async def _started_up(self) -> None:
        deadline = self._loop.time() + _STARTED_BY
        while any(each.parts_away for each in self.replicas) and self._loop.time() < deadline:
            await asyncio.sleep(0.05)

    async def _mended(self) -> list[str]:
        """Wait until nothing is wrong any more; return what still is when that takes too long."""
        deadline = self._loop.time() + _MENDED_BY + self._clock_moved
        # What has been answered wrongly stays wrong.
        while self._loop.time() < deadline:
            await asyncio.sleep(_LOOK_EVERY)
            if self._is_quiet() and not (wrong := check(self._found())):
                return wrong
        return check(self._found())

    def _is_quiet(self) -> bool:
        return not any(replica.parts_away or replica.recorder.waiting for replica in self.replicas) and not any(
            self.postgres.rows(table) for table in ("unsettled", "open_buckets")
        )

    def _found(self) -> Found:
        return Found(
            told=self._clients.told,
            experiments=NAMES,
            arms=ARMS,
            window=WINDOW,
            tolerance=_CLOCKS_DIFFER + 2 * self._clock_moved,
            epoch=EPOCH,
            units={unit: stored_unit(unit) for unit in sorted(self._units())},
            erased=frozenset(self._erased),
            erasing=frozenset(step.unit for step in self._schedule.steps if isinstance(step, Erase)),
            tables={name: self.postgres.rows(name) for name in _TABLES},
            mirror=self.redis.contents("experiment:"),
            streams=self.redis.members("bandit:spools"),
            health=[
                Health(replica.name, tuple(replica.parts_away), replica.recorder.waiting) for replica in self.replicas
            ],
            keeps_request_ids=self._keeps_request_ids(),
            notes=[*self._clients.surprises, *self._log.failures, *self._loop.failures, *self._monitor.wrong],
        )

    def _situations(self) -> list[str]:
        if self._history is None:
            return []
        told = [
            replace(each, sent_at=EPOCH + each.sent_at, answered_at=EPOCH + each.answered_at)
            for each in self._clients.told
        ]
        return reached(Seen(self._history, told, frozenset(each.name for each in self.replicas if each.is_there)))

    def _keeps_request_ids(self) -> bool:
        faults = {step.what for step in self._schedule.steps if isinstance(step, Fault)}
        return faults <= _WITHOUT_REDIS

    def _units(self) -> set[str]:
        return {step.unit for step in self._schedule.steps if isinstance(step, Select | Erase)}

    def _end(self) -> None:
        for replica in self.replicas:
            replica.to_postgres.is_over = replica.to_redis.is_over = True
        self._disturbances.mend_everything()
        self._loop.end()
