"""Look an installation over: everything a process depends on, as it is now."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from bandit_service.ledger.agreement import Agreement
from bandit_service.ledger.encoding import WrongEncodingError
from bandit_service.ledger.errors import MissingSchemaError, PostgresUnavailableError
from bandit_service.ledger.inspection import Inspected, held_posteriors, inspect_database
from bandit_service.ledger.migrations import head_revision
from bandit_service.ledger.partitions import Day
from bandit_service.ledger.pool import make_pool
from bandit_service.mirror.errors import StoreUnavailableError
from bandit_service.mirror.inspection import inspect_store
from bandit_service.mirror.posteriors import mirrored_posteriors
from bandit_service.operations.disk import growth, judge_disk
from bandit_service.operations.findings import (
    Finding,
    judge_database,
    judge_spool,
    judge_store,
    judge_tables,
)
from bandit_service.operations.ledger_findings import judge_mirror, judge_periods, judge_totals, judge_work
from bandit_service.settings import Settings
from bandit_service.spool.inspection import inspect_spool

# The store is written at most a second after the ledger.
_MIRROR_LAG: Final = 2.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Examination:
    """What to look at besides the stores themselves.

    Attributes:
        export: A folder that has to be writable.
        disk_size: Of Postgres's disk, in bytes, where it cannot be seen from here.
        compare: Compare totals with events, and Redis with totals; the former reads all events of recent days.
    """

    export: Path | None = None
    disk_size: int | None = None
    compare: bool = True


EVERYTHING: Final = Examination()


async def examine(
    settings: Settings, *, clock: Callable[[], float], examination: Examination = EVERYTHING
) -> list[Finding]:
    """Look at Redis, Postgres, what they agree on, the settings and the export folder."""
    findings = _settings(settings)
    if examination.export is not None:
        findings.append(_folder(examination.export))
    store, spools = await _store(settings)
    database, found = await _database(settings.postgres_dsn.get_secret_value())
    findings += store + database
    if found is None:
        return findings
    findings += judge_tables(found.tables, head_revision(), clock())
    findings += judge_work(found.work, spools)
    findings.append(_disk(settings, found, examination.disk_size, clock()))
    if examination.compare:
        findings += await _compared(settings, with_store=spools is not None)
    return findings


async def warn(settings: Settings, *, clock: Callable[[], float]) -> None:
    """Log what is doubtful or wrong, but for partitions: the running service makes those itself."""
    for finding in await examine(settings, clock=clock, examination=Examination(compare=False)):
        if finding.status != "ok" and finding.subject != "partitions":
            level = log.error if finding.status == "fail" else log.warning
            level("installation", subject=finding.subject, finding=finding.what, do=finding.do)


def _settings(settings: Settings) -> list[Finding]:
    signs, *others = settings.decision_keys
    accepted = f"; k{', k'.join(map(str, others))} accepted" if others else ""
    findings = [Finding("signing keys", "ok", f"k{signs} signs{accepted}")]
    if settings.authenticates:
        findings.append(Finding("API keys", "ok", "requests need one"))
    else:
        findings.append(Finding("API keys", "ok", "requests need none, since the service listens on loopback only"))
    return findings


def _folder(folder: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return Finding("export folder", "ok", f"{folder} can be written to")
    except OSError as error:
        do = "create it, or give this user the right to write there"
        return Finding("export folder", "fail", f"{folder}: {error.strerror}", do)


async def _store(settings: Settings) -> tuple[list[Finding], tuple[str, ...] | None]:
    """Return the findings, and which processes have a stream if the store answers."""
    url = settings.redis_url.get_secret_value()
    try:
        facts = await inspect_store(url)
    except StoreUnavailableError as error:
        return [Finding("Redis", "fail", str(error), "check BANDIT_REDIS_URL, and that it runs")], None
    spool = await inspect_spool(url)
    return [*judge_store(facts), *judge_spool(spool)], None if spool.refusal else spool.names


async def _database(dsn: str) -> tuple[list[Finding], Inspected | None]:
    try:
        found = await inspect_database(dsn)
    except MissingSchemaError as error:
        return [Finding("schema", "fail", str(error), "run `bandit-service migrate`")], None
    except WrongEncodingError as error:
        do = "dump it, and restore it into a database made with ENCODING 'UTF8' TEMPLATE template0"
        return [Finding("Postgres encoding", "fail", str(error), do)], None
    except PostgresUnavailableError as error:
        return [Finding("Postgres", "fail", str(error), "check BANDIT_POSTGRES_DSN, and that it runs")], None
    return list(judge_database(found.server)), found


def _disk(settings: Settings, found: Inspected, size: int | None, now: float) -> Finding:
    free = found.server.disk_free if size is None else max(0, size - found.server.size)
    today = Day.of(datetime.fromtimestamp(now, UTC))
    return judge_disk(growth(found.tables.sizes, today, settings.keep_events_days), free)


async def _compared(settings: Settings, *, with_store: bool) -> list[Finding]:
    dsn, url = settings.postgres_dsn.get_secret_value(), settings.redis_url.get_secret_value()
    findings = []
    try:
        async with make_pool(dsn, min_size=0, max_size=1, application_name="bandit-service doctor") as pool:
            findings.append(judge_totals(await Agreement(pool).differences()))
            findings.append(judge_periods(await Agreement(pool).unequal_periods()))
        if with_store:
            before = await held_posteriors(dsn)
            await asyncio.sleep(_MIRROR_LAG if before else 0)
            mirrored = await mirrored_posteriors(url, before)
            findings.append(judge_mirror(before, mirrored, await held_posteriors(dsn)))
    except (PostgresUnavailableError, StoreUnavailableError) as error:
        findings.append(Finding("comparison", "fail", f"it did not come to its end: {error}", "run `doctor` again"))
    return findings
