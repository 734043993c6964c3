"""Events written straight into Postgres, as the writer does, at any decision time."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime

import pytest

from bandit_service.domain.event import EventRecord, Kind, encode_record
from bandit_service.domain.experiment import ArmDefinition, Experiment, namespace_of
from bandit_service.ledger.events import EventLog, StreamBatch, StreamEvent
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.pool import Pool, make_pool

MICRO = 1_000_000
SALT = bytes(range(16))


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=4) as pool:
        yield pool


@pytest.fixture
def events(pool: Pool) -> EventLog:
    return EventLog(pool)


async def _agreed() -> None:
    """Confirm that the stream has not changed."""


class Stream:
    """One experiment and the stream of its events, numbered one after another."""

    def __init__(self, pool: Pool, experiment: Experiment) -> None:
        self._repository = ExperimentsRepository(pool)
        self._log = EventLog(pool)
        self.experiment = experiment
        self.seq = 0
        self.epoch = 0

    async def create(self) -> None:
        await self._repository.create(self.experiment, Reason("test", "test", 0.0), unit_salt=SALT)

    async def write(self, *events: StreamEvent) -> None:
        """Write events that `event` has made."""
        committed = await self._log.write([StreamBatch(self.experiment.id, self.epoch, events)], _agreed)
        assert committed == {self.experiment.id: events[-1].seq}

    def event(
        self, name: str, kind: Kind, at: datetime, *, micro: int | None = None, unit: str | None = None
    ) -> StreamEvent:
        """Make the next event; one with a reward enters the beliefs."""
        self.seq += 1
        ms = round(at.timestamp() * 1_000)
        record = EventRecord(name, ms, ms, 0, "bandit", 0.5, micro, 1, unit_hash=unit)
        return StreamEvent(self.seq, kind.encode(), b"0" if micro is None else b"1", encode_record(record))

    async def decide(self, at: datetime, count: int = 1, *, unit: str | None = None) -> None:
        """Write that many decisions of one moment."""
        await self.write(*(self.event(f"d{self.seq}", "decision", at, unit=unit) for _ in range(count)))


type NewStream = Callable[..., Stream]


@pytest.fixture
def new_stream(pool: Pool) -> NewStream:
    """Return a function that makes a stream of an experiment which is not created yet."""

    def make(experiment_id: str = "homepage", **definition: object) -> Stream:
        arms = (ArmDefinition(index=0, id="a"), ArmDefinition(index=1, id="b"))
        given = {"status": "running", "revision": 1, "arms": arms, "default_arm": "a", "created_at": 0.0}
        fields = given | {"id": experiment_id, "namespace": namespace_of(experiment_id)} | definition
        return Stream(pool, Experiment(**fields))  # type: ignore[arg-type]  # a test's own keywords

    return make
