"""A standby that lagged is promoted: everything that was acknowledged is there once, and all heals without a human."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from bandit_local.servers import PostgresServer
from bandit_local.testing.standby import Standby
from bandit_service.domain.event import Row
from bandit_service.ledger import migrations
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.spool.answers import Answer, Duplicate, Inserted, Queued, TooManyWaitingError, UnrecordedError

from .conftest import Processes
from .gate import Gate
from .process import Process, assert_totals_equal_events, event, events_in, query, until

OPTIONS = {"fsync": "off", "max_connections": "60", "max_wal_senders": "4", "wal_level": "replica"}


class Pair:
    """A primary, its standby, and the gate that leads to whichever is the primary."""

    def __init__(self, primary: PostgresServer, standby: Standby, gate: Gate) -> None:
        self.primary, self.standby, self.gate = primary, standby, gate

    @property
    def dsn(self) -> str:
        parts = urlsplit(self.primary.dsn)
        return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{self.gate.port}").geturl()

    def freeze_standby(self) -> None:
        """Let the standby have everything up to now, and nothing more."""
        with psycopg.connect(self.primary.dsn) as connection:
            [position] = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone() or [""]
        deadline = time.monotonic() + 20
        while not self.standby.has_up_to(str(position)):
            assert time.monotonic() < deadline, "the standby does not follow"
            time.sleep(0.02)
        self.standby.stop_following()
        time.sleep(0.3)

    async def fail_over(self) -> None:
        """Kill the primary, promote the standby, and lead everybody to it."""
        self.gate.cut()
        await asyncio.to_thread(self.primary.kill)
        await asyncio.to_thread(self.standby.promote)
        self.gate.open(self.standby.port)


@pytest.fixture(scope="module")
def stopped_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The folder of a migrated primary and its standby, and the primary's port."""
    folder = tmp_path_factory.mktemp("pair")
    with PostgresServer(folder / "primary", options=OPTIONS) as primary:
        migrations.upgrade(primary.dsn)
        Standby(folder / "standby", options=OPTIONS).follow(primary)
        return folder, primary.port


@pytest.fixture
async def pair(stopped_pair: tuple[Path, int], tmp_path: Path) -> AsyncIterator[Pair]:
    folder, port = stopped_pair
    await asyncio.to_thread(shutil.copytree, folder, tmp_path / "pair")
    with (
        PostgresServer(tmp_path / "pair" / "primary", port=port, options=OPTIONS) as primary,
        Standby(tmp_path / "pair" / "standby", options=OPTIONS) as standby,
    ):
        async with Gate(primary.port).running() as gate:
            yield Pair(primary, standby, gate)


@pytest.fixture
async def ledger(pair: Pair) -> AsyncIterator[Pool]:
    async with make_pool(pair.dsn, max_size=8) as pool:
        yield pool


@pytest.fixture
async def processes(ledger: Pool, redis_url: str) -> AsyncIterator[Processes]:
    processes = Processes(ledger, redis_url)
    yield processes
    await processes.end()


async def all_follow(*processes: Process) -> None:
    await until(lambda: all(process.recorder.others_follow for process in processes))


async def some_more(*answered: set[str]) -> None:
    """Wait until some more of each has been answered."""
    before = [len(each) for each in answered]
    await until(lambda: all(len(each) >= count + 40 for each, count in zip(answered, before, strict=True)))


async def rewards(pool: Pool) -> dict[str, int]:
    return dict(await query(pool, "SELECT decision_id, reward_micro FROM bandit_events WHERE kind = 'reward'"))


async def test_what_a_lagging_standby_lacks_is_written_again_and_answers_hold(
    pair: Pair, ledger: Pool, processes: Processes
) -> None:
    a, b = await processes.start(), await processes.start()
    await all_follow(a, b)
    await asyncio.to_thread(pair.freeze_standby)
    names = [f"d{number:03}" for number in range(120)]
    assert all(await asyncio.gather(*[a.recorder.record([event(name)]) for name in names]))
    [applied] = await a.recorder.decide([event("d000", "reward", reward_micro=5)])
    assert applied == Inserted()
    await a.written()
    assert len(await events_in(ledger)) == 120

    await pair.fail_over()
    answers: list[Answer] = []
    while not b.recorder.others_follow or not answers:
        # Until everybody has written again what was lost, nobody knows who was first.
        [answer] = await b.recorder.decide([event("d000", "reward", reward_micro=9)])
        answers.append(answer)
        await asyncio.sleep(0.05)
    assert answers[0] == Queued()
    await all_follow(a, b)
    await a.written()
    await b.written()
    assert await b.recorder.decide([event("d000", "reward", reward_micro=9)]) == [Duplicate(5, filled=False)]
    assert await events_in(ledger) == names
    assert await rewards(ledger) == {"d000": 5}
    assert await query(ledger, "SELECT ledger_timeline()") == [("00000002",)]
    await assert_totals_equal_events(ledger)


async def test_an_answer_duplicate_holds_although_its_row_was_lost(
    pair: Pair, ledger: Pool, processes: Processes
) -> None:
    """The process that inserted the row has not heard so, and ends; the one that told of it writes it again."""
    a, b = await processes.start(), await processes.start()
    await all_follow(a, b)
    await asyncio.to_thread(pair.freeze_standby)
    row = event("d", "reward", reward_micro=5)
    await a.writer.write([Row(1, 0, row)], a.recorder.writing.timeline)
    assert await b.recorder.decide([event("d", "reward", reward_micro=9)]) == [Duplicate(5, filled=False)]
    await pair.fail_over()
    assert await a.recorder.decide([event("d", "reward", reward_micro=7)]) == [Queued()]
    await all_follow(a, b)
    await a.written()
    assert await rewards(ledger) == {"d": 5}


async def test_nobody_decides_before_a_slow_process_has_written_again(
    pair: Pair, ledger: Pool, processes: Processes
) -> None:
    a, slow = await processes.start(), processes.make()
    await slow.record_alone()
    await until(lambda: beats_and_follows(slow))
    await all_follow(a)
    await asyncio.to_thread(pair.freeze_standby)
    assert await slow.recorder.decide([event("d", "reward", reward_micro=5)]) == [Inserted()]
    await pair.fail_over()
    await until(lambda: a.recorder.writing.timeline == "00000002")
    assert await a.recorder.decide([event("d", "reward", reward_micro=7)]) == [Queued()]
    await asyncio.sleep(1.0)
    assert await rewards(ledger) == {}
    await until(lambda: beats_and_follows(slow))
    await a.written()
    assert await rewards(ledger) == {"d": 5}


async def test_a_process_that_the_standby_never_heard_of_is_waited_for_as_well(
    pair: Pair, ledger: Pool, processes: Processes
) -> None:
    """Its name in the spool tells of it."""
    a, new = await processes.start(), processes.make()
    await all_follow(a)
    await asyncio.to_thread(pair.freeze_standby)
    await new.record_alone()
    await until(lambda: beats_and_follows(new))
    assert await new.recorder.decide([event("d", "reward", reward_micro=5)]) == [Inserted()]
    await pair.fail_over()
    await until(lambda: a.recorder.writing.timeline == "00000002")
    assert await a.recorder.decide([event("d", "reward", reward_micro=7)]) == [Queued()]
    await until(lambda: is_waited_for(ledger, new))
    assert await rewards(ledger) == {}
    await until(lambda: beats_and_follows(new))
    await all_follow(a)
    await a.written()
    assert await rewards(ledger) == {"d": 5}
    assert len(new.names) == 1


async def beats_and_follows(process: Process) -> bool:
    await process.keeper.beat()
    return process.recorder.others_follow


async def is_waited_for(pool: Pool, process: Process) -> bool:
    [name] = process.names
    return await query(pool, "SELECT timeline FROM producers WHERE name = %s", name) == [("",)]


async def test_a_process_that_ended_before_the_failover_holds_the_others_up_only_for_a_while(
    pair: Pair, ledger: Pool, processes: Processes
) -> None:
    """Its old registration is on the former timeline for ever; its stream has what was queued there."""
    a, ended = await processes.start(), await processes.start()
    await all_follow(a, ended)
    pair.gate.cut()
    await until(lambda: not ended.recorder.health.beats)
    assert await ended.recorder.decide([event("d", "reward", reward_micro=5)]) == [Queued()]
    await ended.kill()
    pair.gate.open()
    await asyncio.to_thread(pair.freeze_standby)
    await pair.fail_over()
    await all_follow(a)
    await until(lambda: is_alone(ledger))
    assert await rewards(ledger) == {"d": 5}


async def test_a_process_that_ended_in_order_before_the_failover_loses_nothing(
    pair: Pair, ledger: Pool, processes: Processes
) -> None:
    a, ended = await processes.start(), await processes.start()
    await all_follow(a, ended)
    await asyncio.to_thread(pair.freeze_standby)
    assert await ended.recorder.record([event("d")])
    assert await ended.recorder.decide([event("d", "reward", reward_micro=5)]) == [Inserted()]
    await ended.stop()
    await pair.fail_over()
    await until(lambda: is_alone(ledger))
    assert await events_in(ledger) == ["d"]
    assert await rewards(ledger) == {"d": 5}
    await assert_totals_equal_events(ledger)


async def is_alone(pool: Pool) -> bool:
    return len(await query(pool, "SELECT name FROM producers")) == 1


@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.verify), pytest.param(3, marks=pytest.mark.verify)]
)
async def test_every_answer_given_around_a_failover_holds(
    pair: Pair, ledger: Pool, processes: Processes, seed: int
) -> None:
    """Several processes under load, while the standby is frozen, the primary killed, and the standby promoted."""
    rng = random.Random(seed)
    crowd = [await processes.start() for _ in range(3)]
    await all_follow(*crowd)
    recorded: set[str] = set()
    said: dict[str, set[int]] = {}
    promised: set[str] = set()
    numbers = itertools.count()
    over = asyncio.Event()

    async def decide_and_reward(process: Process) -> None:
        while not over.is_set():
            name = f"d{next(numbers):05}"
            if await process.recorder.record([event(name)]):
                recorded.add(name)
            # Rewards of a few decisions, so that processes are rivals.
            name = f"r{rng.randrange(40 + next(numbers) // 8):05}"
            with suppress(UnrecordedError, TooManyWaitingError):
                [answer] = await process.recorder.decide([event(name, "reward", reward_micro=rng.randrange(1_000))])
                promised.add(name)
                if isinstance(answer, Duplicate):
                    said.setdefault(name, set()).add(answer.reward_micro or 0)
            await asyncio.sleep(rng.random() * 0.01)

    async def first_rewards(process: Process) -> None:
        """Rewards of one's own, so that the value that was applied is known."""
        while not over.is_set():
            name, value = f"o{next(numbers):05}", rng.randrange(1_000)
            with suppress(UnrecordedError):
                [answer] = await process.recorder.decide([event(name, "reward", reward_micro=value)])
                promised.add(name)
                if answer == Inserted():
                    said.setdefault(name, set()).add(value)
            await asyncio.sleep(rng.random() * 0.01)

    work = [asyncio.create_task(each(process)) for process in crowd for each in (decide_and_reward, first_rewards)]
    await some_more(recorded, promised)
    await asyncio.to_thread(pair.freeze_standby)
    await some_more(recorded, promised)
    await pair.fail_over()
    await all_follow(*crowd)
    await some_more(recorded, promised)
    over.set()
    await asyncio.gather(*work)
    for process in crowd:
        await process.written()
    await until(lambda: all(process.recorder.health.ledger and process.recorder.health.spool for process in crowd))

    assert set(await events_in(ledger)) >= recorded
    stored = await rewards(ledger)
    assert set(stored) >= promised
    assert {name: values for name, values in said.items() if values != {stored[name]}} == {}
    await assert_totals_equal_events(ledger)
