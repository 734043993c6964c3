"""A ledger on either server, and what all its tables hold, so that the two can be compared."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from bandit_core.rules.experiment import Experiment
from bandit_service.ledger.agreement import Agreement
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.leases import LeasesRepository
from bandit_service.ledger.linear_outcomes import LinearOutcomes
from bandit_service.ledger.own_ids import OwnIdsRepository
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.ledger.producers import Producers
from bandit_service.ledger.served import ServedRepository
from bandit_service.ledger.settling import Settling
from bandit_service.ledger.totals import TotalsRepository
from bandit_service.ledger.traffic import TrafficRepository
from bandit_service.ledger.units import UnitsRepository
from bandit_service.ledger.weight_periods import WeightPeriodsRepository
from bandit_service.ledger.weights import WeightsRepository
from bandit_service.ledger.writer import LedgerWriter

from .link import DirectLink
from .postgres import SimulatedPostgres
from .postgres.parameters import as_us
from .postgres.schema import DEFINITIONS, TableDefinition

TIMELINE: Final = "00000001"
# Columns that a server fills from its clock.
_SERVER_TIMES: Final = frozenset(
    {"recorded_at", "started_at", "heartbeat_at", "updated_at", "settled_at", "published_at", "erased_at", "taken_at"}
    | {"begins", "ends"}
)
_TIMES_OF: Final = {"namespaces": {"created_at"}, "api_keys": {"created_at"}}
_SOME_TIME_US: Final = 86_400_000_000

type Tables = dict[str, list[dict[str, Any]]]


@dataclass
class Ledger:
    """The repositories of one process on one server."""

    pool: Pool
    simulated: SimulatedPostgres | None = None
    slot: int = 0
    writer: LedgerWriter = field(init=False)
    _held: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        pool = self.pool
        self.writer = LedgerWriter(pool)
        self.producers = Producers(pool)
        self.leases = {name: LeasesRepository(pool, holder=name) for name in ("p0", "p1", "p2")}
        self.settling = Settling(pool, slot=3, most_rows=3, most_decisions=4)
        self.weights = WeightsRepository(pool)
        self.totals = TotalsRepository(pool)
        self.periods = WeightPeriodsRepository(pool)
        self.own_ids = OwnIdsRepository(pool)
        self.served = ServedRepository(pool)
        self.experiments = ExperimentsRepository(pool)
        self.units = UnitsRepository(pool)
        self.linear = LinearOutcomes(pool)
        self.agreement = Agreement(pool)
        self.keys = ApiKeysRepository(pool)
        self.traffic = TrafficRepository(pool)

    async def create(self, experiment: Experiment) -> Experiment:
        return await self.experiments.create(experiment, Reason("me", "a test", 1.5), unit_salt=b"0" * 16)

    async def set_timeline(self, number: int) -> None:
        """Go on on another timeline, with everything there."""
        if self.simulated is not None:
            self.simulated.database.timeline_number = number
            return
        async with self.pool.connection() as connection:
            await connection.execute(
                "CREATE OR REPLACE FUNCTION ledger_timeline() RETURNS text LANGUAGE sql STABLE"
                f" RETURN '{number:08X}'".encode()
            )

    async def hold_commits(self) -> None:
        """Let commits wait for a standby that is away."""
        if self.simulated is not None:
            self.simulated.hold_commits()
            return
        await self._wait_for_standbys("nobody")
        # A process of the server's own has to hear of it: until then commits do not wait.
        while self._held is None:
            task = asyncio.create_task(self._commit())
            done, _ = await asyncio.wait([task], timeout=0.3)
            self._held = None if done else task

    async def release_commits(self) -> None:
        if self.simulated is not None:
            self.simulated.release_commits()
        elif self._held is not None:
            await self._wait_for_standbys("")
            await self._held
            self._held = None

    async def _wait_for_standbys(self, names: str) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'".encode())
            await connection.execute("SELECT pg_reload_conf()")

    async def _commit(self) -> None:
        async with self.pool.connection() as connection:
            await connection.execute("SELECT pg_logical_emit_message(true, 'a test', '')")

    async def tables(self) -> Tables:
        """Return every row of every table that is modelled."""
        if self.simulated is not None:
            found = {each.name: self.simulated.rows(each.name) for each in DEFINITIONS}
            [kept_from] = found["kept_from"]
            kept_from["oldest"] = max(0, kept_from["oldest"])
            return found
        found = {}
        async with self.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            for each in DEFINITIONS:
                columns = ", ".join(_read(each, name) for name in each.columns)
                await cursor.execute(f"SELECT {columns} FROM {each.name}".encode())  # noqa: S608 (names of columns)
                found[each.name] = await cursor.fetchall()
        return found


def _read(table: TableDefinition, column: str) -> str:
    if column in (*table.json, *table.plain_json):
        return f"{column}::text"
    # psycopg knows no time before the year 1.
    return "greatest(oldest, 'epoch') AS oldest" if column == "oldest" else column


def comparable(tables: Tables, hashes: frozenset[bytes] = frozenset()) -> dict[str, list[str]]:
    """Return tables without what is the server's own: its times, and the names that it gives to units erased.

    Args:
        tables: What a ledger holds.
        hashes: Those that units have.
    """
    now_us = round(time.time() * 1_000_000)

    def value_of(table: str, column: str, value: Any) -> Any:
        if column in _SERVER_TIMES or column in _TIMES_OF.get(table, ()):
            return "a time"
        if table == "exposures" and column == "unit_hash" and bytes(value) not in hashes:
            return "nobody"
        if isinstance(value, datetime):
            value = as_us(value)
        if isinstance(value, Decimal):
            value = int(value)
        if isinstance(value, list | tuple):
            value = tuple(as_us(each) if isinstance(each, datetime) else each for each in value)
        if column == "drained_to" and abs(value - now_us) < _SOME_TIME_US:
            return "a time"
        return value

    for row in tables["unsettled"]:
        # Decisions of one batch are named in any order, and experiments of one batch get their rows in any order.
        pairs = sorted(zip(row["decision_ids"], row["times"], strict=True))
        row["decision_ids"], row["times"] = ([pair[place] for pair in pairs] for place in (0, 1))
    for table in ("unsettled", "refused_events"):
        _number_by_experiment(tables[table])
    return {
        table: sorted(repr([(name, value_of(table, name, value)) for name, value in row.items()]) for row in rows)
        for table, rows in tables.items()
    }


def _number_by_experiment(rows: list[dict[str, Any]]) -> None:
    last: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: row["id"]):
        row["id"] = last[row["experiment_id"]] = last.get(row["experiment_id"], 0) + 1


async def save(pool: Pool) -> None:
    """Keep copies of all tables of a real ledger, for `restore`."""
    async with pool.connection() as connection:
        for each in DEFINITIONS:
            await connection.execute(f"CREATE TABLE saved_{each.name} AS TABLE {each.name}".encode())


async def restore(pool: Pool) -> None:
    """Make a real ledger what it was when it was saved. In one round trip, since TRUNCATE takes long."""
    cleared = [f"DELETE FROM {each.name}" for each in reversed(DEFINITIONS)]  # noqa: S608 (names of tables)
    filled = [f"INSERT INTO {each.name} OVERRIDING SYSTEM VALUE TABLE saved_{each.name}" for each in DEFINITIONS]
    beats = "UPDATE producers SET heartbeat_at = clock_timestamp(), drained_to = clock_timestamp()"
    timeline = f"CREATE OR REPLACE FUNCTION ledger_timeline() RETURNS text LANGUAGE sql STABLE RETURN '{TIMELINE}'"
    async with pool.connection() as connection:
        await connection.execute("; ".join([*cleared, *filled, beats, timeline]).encode())


@asynccontextmanager
async def real_ledger(dsn: str) -> AsyncIterator[Ledger]:
    # The tests' server has it switched off, since nobody pulls its plug.
    async with make_pool(make_conninfo(dsn, options="-c synchronous_commit=on"), max_size=6) as pool:
        yield Ledger(pool)


@asynccontextmanager
async def simulated_ledger() -> AsyncIterator[Ledger]:
    server = SimulatedPostgres(time.time, random.Random(7))
    async with server.pool(DirectLink(), max_size=6) as pool:
        yield Ledger(pool, server)  # type: ignore[arg-type] # it stands in for it


def without(value: Any, **masked: Any) -> Any:
    """Return a value of a dataclass or named tuple without what is the server's own."""
    if value is None:
        return None
    fields: Mapping[str, Any] = (
        value._asdict() if hasattr(value, "_asdict") else {name: getattr(value, name) for name in value.__slots__}
    )
    return {**fields, **masked}
