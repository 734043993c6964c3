"""Events written straight into Postgres, as a process does, at any decision time."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from bandit_core.rules.experiment import ArmDefinition, Experiment, namespace_of
from bandit_service.domain.event import Batch, Event, Kind
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.pool import Pool, connected, make_pool
from bandit_service.ledger.writer import LedgerWriter, Written

MICRO = 1_000_000


def salt(namespace: str) -> bytes:
    """The salt that a namespace's units are hashed with in these tests."""
    return namespace.encode().ljust(16, b".")


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1_000)


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=4) as pool:
        yield pool


class Recorded:
    """One experiment, and a process that writes its events."""

    def __init__(self, pool: Pool, experiment: Experiment) -> None:
        self._pool = pool
        self._writer = LedgerWriter(pool)
        self.experiment = experiment
        self.batches = 0
        self.decisions = 0

    async def create(self) -> None:
        reason = Reason("test", "test", 0.0)
        await ExperimentsRepository(self._pool).create(
            self.experiment, reason, unit_salt=salt(self.experiment.namespace)
        )

    async def write(self, *events: Event) -> Written:
        self.batches += 1
        timeline = await scalar(self._pool, "SELECT ledger_timeline()")
        return await self._writer.write(Batch(self.batches, events).rows, timeline)

    def event(self, name: str, kind: Kind, at: datetime, **fields: Any) -> Event:
        """Make an event of a decision of that moment, received then."""
        counted = kind != "late"
        return msgspec.structs.replace(
            Event(self.experiment.id, name, kind, ms(at), ms(at), 0, "bandit", counted, propensity=0.5), **fields
        )

    async def decide(self, at: datetime, count: int = 1, **fields: Any) -> Written:
        """Write that many decisions of one moment, called d0, d1 and so on."""
        names = [f"d{self.decisions + place}" for place in range(count)]
        self.decisions += count
        return await self.write(*(self.event(name, "decision", at, **fields) for name in names))

    async def reward(self, name: str, at: datetime, micro: int = MICRO, **fields: Any) -> Written:
        return await self.write(self.event(name, "reward", at, reward_micro=micro, **fields))


type NewRecorded = Callable[..., Recorded]


@pytest.fixture
def new_recorded(pool: Pool) -> NewRecorded:
    """Return a function for an experiment that is not created yet."""

    def make(experiment_id: str = "homepage", **definition: object) -> Recorded:
        arms = (ArmDefinition(index=0, id="a"), ArmDefinition(index=1, id="b"))
        given = {"status": "running", "revision": 1, "arms": arms, "default_arm": "a", "created_at": 0.0}
        fields = given | {"id": experiment_id, "namespace": namespace_of(experiment_id)} | definition
        return Recorded(pool, Experiment(**fields))  # type: ignore[arg-type]  # a test's own keywords

    return make


async def rows(pool: Pool, query: Any, parameters: Any = None) -> list[Any]:
    async with connected(pool) as connection:
        return await (await connection.execute(query, parameters)).fetchall()


async def scalar(pool: Pool, query: Any, parameters: Any = None) -> Any:
    [[value]] = await rows(pool, query, parameters) or [[None]]
    return value


async def execute(pool: Pool, query: Any, parameters: Any = None) -> None:
    async with connected(pool) as connection:
        await connection.execute(query, parameters)


async def add_producer(pool: Pool, name: str = "p1", *, drained_to: datetime | None = None, dead: bool = False) -> None:
    """Enter a process that has written everything it received before a moment, now unless told otherwise."""
    await execute(
        pool,
        "INSERT INTO producers (name, slot, drained_to, timeline, dead) VALUES (%s, 0, %s, ledger_timeline(), %s)",
        [name, drained_to or datetime.now(UTC), dead],
    )
