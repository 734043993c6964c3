"""Look an installation over: everything a process depends on, as it is now."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog

from bandit_service.ledger.errors import MissingSchemaError, PostgresUnavailableError
from bandit_service.ledger.inspection import TableFacts, inspect_database
from bandit_service.ledger.migrations import head_revision
from bandit_service.operations.findings import (
    Finding,
    judge_agreement,
    judge_database,
    judge_store,
    judge_tables,
)
from bandit_service.redis_store.errors import StoreUnavailableError
from bandit_service.redis_store.inspection import inspect_store
from bandit_service.redis_store.state import Head
from bandit_service.redis_store.store import RedisStore
from bandit_service.settings import Settings

log = structlog.get_logger(__name__)


async def examine(settings: Settings, *, clock: Callable[[], float], export: Path | None = None) -> list[Finding]:
    """Look at Redis, Postgres, what they agree on, the settings and the export folder."""
    findings = _settings(settings)
    if export is not None:
        findings.append(_folder(export))
    store_findings, heads = await _store(settings)
    # Asked after the store: what that believes to be in Postgres by now has been there before.
    database_findings, tables = await _database(settings.postgres_dsn.get_secret_value(), clock)
    findings += store_findings + database_findings
    if heads is not None and tables is not None:
        findings += judge_agreement(heads, tables.positions)
    return findings


async def warn(settings: Settings, *, clock: Callable[[], float]) -> None:
    """Log what is doubtful or wrong, but for partitions: the running service makes those itself."""
    for finding in await examine(settings, clock=clock):
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


async def _store(settings: Settings) -> tuple[list[Finding], dict[str, Head] | None]:
    url = settings.redis_url.get_secret_value()
    store = RedisStore(url, timeout=settings.redis_timeout)
    try:
        facts = await inspect_store(url)
        names = await store.experiment_ids()
        return list(judge_store(facts)), dict(zip(names, await store.heads(names), strict=True))
    except StoreUnavailableError as error:
        return [Finding("Redis", "fail", str(error), "check BANDIT_REDIS_URL, and that it runs")], None
    finally:
        await store.close()


async def _database(dsn: str, clock: Callable[[], float]) -> tuple[list[Finding], TableFacts | None]:
    try:
        server, tables = await inspect_database(dsn)
    except MissingSchemaError as error:
        return [Finding("schema", "fail", str(error), "run `bandit-service migrate`")], None
    except PostgresUnavailableError as error:
        return [Finding("Postgres", "fail", str(error), "check BANDIT_POSTGRES_DSN, and that it runs")], None
    return [*judge_database(server), *judge_tables(tables, head_revision(), clock())], tables
