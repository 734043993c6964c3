"""What the simulated Postgres does when it fails: clients get the errors that a real one gives them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from psycopg import errors

from bandit_service.domain.event import Row
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.pool import PostgresUnavailableError, connected, ping, statement
from bandit_service.ledger.writer import OtherTimelineError

from .ledgers import TIMELINE, Ledger
from .link import ConnectionLostError
from .postgres import SimulatedPostgres
from .postgres.statements import UnmodelledStatementError
from .transactions import EXPERIMENT, begun, event, meanwhile


@dataclass
class Clock:
    """A clock that stands still unless a test moves it."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Wire:
    """A link that a test cuts. `loses` says which of the next messages are lost: "request" or "reply"."""

    loses: str = ""
    is_partitioned: bool = False

    async def request(self) -> None:
        self._carry("request")

    async def reply(self, *, commits: bool = False) -> None:  # noqa: ARG002
        self._carry("reply")

    def passes(self) -> bool:
        return not self.is_partitioned

    def _carry(self, message: str) -> None:
        if self.loses == message or self.is_partitioned:
            self.loses = ""
            raise ConnectionLostError


@dataclass
class World:
    """A server, a process, and the way between them."""

    clock: Clock
    wire: Wire
    server: SimulatedPostgres
    ledger: Ledger

    async def write(self, decision_id: str, timeline: str = TIMELINE) -> int:
        return len((await self.ledger.writer.write([Row(1, 0, event(decision_id))], timeline)).inserted)

    async def reconnect(self) -> None:
        """Go on until every connection that is lost has been found out."""
        for _ in range(8):
            with suppress(PostgresUnavailableError):
                await ping(self.ledger.pool)

    def written(self) -> list[str]:
        return [row["decision_id"] for row in self.server.rows("bandit_events")]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, wire = Clock(), Wire()
    server = SimulatedPostgres(clock, random.Random(3))
    async with server.pool(wire) as pool:
        ledger = Ledger(pool, server)  # type: ignore[arg-type] # it stands in for it
        await ledger.create(EXPERIMENT)
        await ledger.producers.register("p0")
        yield World(clock, wire, server, ledger)


# The way to it.


async def test_a_statement_that_does_not_arrive_does_nothing(world: World) -> None:
    world.wire.loses = "request"
    with pytest.raises(PostgresUnavailableError):
        await world.write("a")
    assert world.written() == []


class _LosesTheAnswerToCommit(Wire):
    """Loses one answer: the first after which an event is there."""

    def __init__(self, server: SimulatedPostgres) -> None:
        super().__init__()
        self._server = server
        self._is_done = False

    async def reply(self, *, commits: bool = False) -> None:  # noqa: ARG002
        if not self._is_done and self._server.rows("bandit_events"):
            self._is_done = True
            raise ConnectionLostError


async def test_a_commit_whose_answer_is_lost_is_made(world: World) -> None:
    wire = _LosesTheAnswerToCommit(world.server)
    async with world.server.pool(wire) as pool:
        process = World(world.clock, wire, world.server, Ledger(pool, world.server))  # type: ignore[arg-type]
        with pytest.raises(PostgresUnavailableError):
            await process.write("a")
        assert world.written() == ["a"]
        assert await process.write("b") == 1


async def test_what_a_lost_connection_has_not_committed_is_rolled_back(world: World) -> None:
    async with begun(world.ledger) as first:
        await first.insert(event("a"))
        world.wire.loses = "reply"
        with pytest.raises(Exception, match="closed the connection"):
            await first.do("timeline")
    assert await world.write("a") == 1


async def test_a_half_open_session_keeps_its_locks_until_it_has_been_idle_for_too_long(world: World) -> None:
    async with world.server.pool(Wire()) as pool:
        other = World(world.clock, Wire(), world.server, Ledger(pool, world.server))  # type: ignore[arg-type]
        async with begun(world.ledger, idle_seconds=5.0) as first:
            await first.insert(event("a"))
            world.wire.is_partitioned = True
            with pytest.raises(Exception, match="closed the connection"):
                await first.do("timeline")
        async with meanwhile(other.write("b")) as waiting:
            world.clock.now += 5.0
            async with begun(other.ledger) as looking:
                await looking.insert(event("c"), batch=2)
            assert await waiting == 1
    assert world.written() == ["b"]


async def test_a_process_that_is_killed_lets_go_of_everything(world: World) -> None:
    pool: Any = world.ledger.pool
    async with begun(world.ledger) as first:
        await first.insert(event("a"))
        pool.cut()
    assert world.written() == []
    async with world.server.pool(Wire()) as other:
        assert await World(world.clock, Wire(), world.server, Ledger(other, world.server)).write("a") == 1  # type: ignore[arg-type]


# Its life.


async def test_a_killed_server_comes_back_with_what_was_committed(world: World) -> None:
    await world.write("a")
    async with begun(world.ledger) as first:
        await first.insert(event("b"), batch=2)
        world.server.kill()
        with pytest.raises(Exception, match="ended the session"):
            await first.do("timeline")
    world.server.start()
    await world.reconnect()
    assert world.written() == ["a"]
    assert await world.write("b") == 1


async def test_while_it_is_down_nobody_connects(world: World) -> None:
    world.server.kill()
    with pytest.raises(PostgresUnavailableError):
        await world.write("a")
    with pytest.raises(PostgresUnavailableError):
        await world.write("a")
    world.server.start()
    await world.reconnect()
    assert await world.write("a") == 1


async def test_a_frozen_server_goes_on_where_it_was(world: World) -> None:
    await world.write("a")
    world.server.freeze()
    async with meanwhile(world.write("b")) as writing:
        assert world.written() == ["a"]
        world.server.thaw()
        assert await writing == 1


async def test_a_frozen_server_takes_what_its_client_has_given_up(world: World) -> None:
    async with begun(world.ledger) as first:
        await first.insert(event("a"))
        world.server.freeze()
        async with meanwhile(first.commit()):
            first.connection.shut_down()
        assert first.connection.closed
    world.server.thaw()
    assert world.written() == ["a"]


async def test_a_read_only_server_answers_and_refuses(world: World) -> None:
    await world.write("a")
    world.server.set_read_only()
    assert await world.ledger.totals.changed([EXPERIMENT.id]) == {EXPERIMENT.id: (1, 0)}
    with pytest.raises(PostgresUnavailableError, match="ReadOnlySqlTransaction"):
        await world.write("b")
    with pytest.raises(PostgresUnavailableError, match="ReadOnlySqlTransaction"):
        await world.ledger.linear.save(Lease(EXPERIMENT.id, "p0", 1), None)  # type: ignore[arg-type]
    world.server.set_read_only(is_read_only=False)
    assert await world.write("b") == 1


async def test_commits_wait_for_a_standby_that_is_away(world: World) -> None:
    world.server.hold_commits()
    async with meanwhile(world.write("a")) as writing:
        assert world.written() == []
        assert await world.ledger.totals.changed([EXPERIMENT.id]) == {EXPERIMENT.id: (0, 0)}
        world.server.release_commits()
        assert await writing == 1
    assert world.written() == ["a"]


# Failover.


async def test_a_failover_loses_the_tail_and_begins_a_timeline(world: World) -> None:
    await world.write("a")
    world.clock.now += 2.0
    await world.write("b")
    assert world.server.failover(1.0) == 1
    assert world.written() == ["a"]
    await world.reconnect()
    with pytest.raises(OtherTimelineError, match="00000002"):
        await world.write("c")
    assert await world.write("b", "00000002") == 1
    assert await world.ledger.totals.changed([EXPERIMENT.id]) == {EXPERIMENT.id: (2, 0)}


async def test_a_failover_without_a_lag_loses_nothing_but_what_was_not_committed(world: World) -> None:
    await world.write("a")
    async with begun(world.ledger) as first:
        await first.insert(event("b"), batch=2)
        assert world.server.failover() == 0
    assert world.written() == ["a"]


async def test_a_failover_takes_totals_counts_and_claims_back(world: World) -> None:
    names = ("arm_totals", "open_buckets", "own_ids", "unsettled", "leases")
    before = {name: world.server.rows(name) for name in names}
    world.clock.now += 10.0
    await world.ledger.leases["p0"].take(EXPERIMENT.id, 5.0)
    unusual = event("own", claim='{"n": 1}', bucket_ms=1_000, settles=True)
    await world.ledger.writer.write([Row(1, 0, unusual)], TIMELINE)
    assert world.server.failover(5.0) == 2
    assert {name: world.server.rows(name) for name in names} == before


async def test_a_token_and_a_version_are_not_used_again(world: World) -> None:
    world.clock.now += 10.0
    first = await world.ledger.leases["p0"].take(EXPERIMENT.id, 5.0)
    world.server.failover(5.0)
    await world.reconnect()
    second = await world.ledger.leases["p0"].take(EXPERIMENT.id, 5.0)
    assert first is not None
    assert second is not None
    assert (first.token, second.token) == (1, 1_000_000_000)


async def test_an_old_primary_that_is_read_only_shows_what_was_lost(world: World) -> None:
    await world.write("a")
    async with world.ledger.pool.connection() as old:
        world.server.failover(5.0, old="read only")
        counted = await old.execute(statement("totals_changed"), {"experiment_ids": [EXPERIMENT.id]})
        assert await counted.fetchall() == [(EXPERIMENT.id, 1, 0)]
        with pytest.raises(errors.ReadOnlySqlTransaction):
            await old.execute(statement("insert_lease"), {"experiment_id": EXPERIMENT.id})
    assert world.written() == []


async def test_an_old_primary_that_has_become_a_standby_has_no_timeline(world: World) -> None:
    world.server.failover(0.0, old="in recovery")
    with pytest.raises(PostgresUnavailableError, match="ReadOnlySqlTransaction"):
        await world.ledger.units.timeline()
    for _ in range(8):
        with suppress(PostgresUnavailableError):
            await world.ledger.units.timeline()
    assert await world.ledger.units.timeline() == "00000002"


async def test_an_old_primary_can_end(world: World) -> None:
    world.server.failover(0.0, old="read only")
    world.server.end_old_sessions()
    with pytest.raises(PostgresUnavailableError):
        await ping(world.ledger.pool)
    await world.reconnect()
    await ping(world.ledger.pool)


# What it does not know.


async def test_a_statement_without_a_model_is_named(world: World) -> None:
    from bandit_service.ledger.snapshots import SnapshotsRepository

    with pytest.raises(UnmodelledStatementError, match="take_due_snapshots"):
        await SnapshotsRepository(world.ledger.pool).take_due(["x"], 1.0)
    async with connected(world.ledger.pool) as connection:
        with pytest.raises(UnmodelledStatementError, match="SELECT 2"):
            await connection.execute("SELECT 2")


async def test_the_same_seed_gives_the_same_rows() -> None:
    found = []
    for _ in range(2):
        server = SimulatedPostgres(Clock(), random.Random(5))
        async with server.pool(Wire()) as pool:
            ledger = Ledger(pool)  # type: ignore[arg-type]
            await ledger.create(EXPERIMENT)
            await asyncio.gather(*(ledger.producers.register(name) for name in ("a", "b", "c")))
            server.kill()
            server.start()
            found.append([server.rows(name) for name in server.database.tables])
    assert found[0] == found[1]


async def test_a_statement_sees_what_was_committed_when_it_began(world: World) -> None:
    world.server.moment = lambda: 0.3
    named = Row(1, 0, event("a", unit_hash="00" * 16))
    async with meanwhile(world.ledger.writer.write([named], TIMELINE)) as writing:
        world.server.moment = lambda: 0.0
        await world.ledger.units.bury(["00" * 16])
        await writing
    assert [row["unit_hash"] for row in world.server.rows("bandit_events")] == [bytes(16)]


async def test_who_waits_for_a_frozen_server_that_is_killed_gets_an_error(world: World) -> None:
    await ping(world.ledger.pool)
    world.server.freeze()
    async with meanwhile(world.write("a")) as writing:
        world.server.kill()
        with pytest.raises(PostgresUnavailableError):
            await writing
