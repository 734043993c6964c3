"""The doctor finds what is wrong, says what to do, and never shows a secret."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import redis
from pydantic import SecretStr
from structlog.testing import capture_logs

from bandit_local.servers import RedisServer
from bandit_service.ledger.inspection import DatabaseFacts, TableFacts
from bandit_service.ledger.partitions import Partitions
from bandit_service.ledger.pool import Pool
from bandit_service.operations.doctor import examine, warn
from bandit_service.operations.findings import (
    Finding,
    judge_agreement,
    judge_database,
    judge_store,
    judge_tables,
)
from bandit_service.operations.partitions import PartitionKeeper
from bandit_service.redis_store.inspection import StoreFacts
from bandit_service.redis_store.state import Head
from bandit_service.settings import Settings

STORE = StoreFacts(
    server="Redis",
    version="7.4.1",
    redis_version="7.4.1",
    role="master",
    is_cluster=False,
    policy="noeviction",
    memory_limit=2**30,
    memory_used=2**20,
    append_only=True,
    last_write_ok=True,
    clock_ahead=0.01,
    refused_scripts=(),
)
DATABASE = DatabaseFacts(
    version=180_001, read_only=False, durable=True, clock_ahead=-0.01, connections=10, connection_limit=100
)
NOVEMBER = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
TABLES = TableFacts(
    revision="0002",
    partitions=("bandit_events_2026_11", "bandit_events_2026_12", "bandit_events_default"),
    default_is_empty=True,
    positions={},
)


def troubles(findings: Iterator[Finding] | list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.status for finding in findings if finding.status != "ok"}


def test_a_sound_installation_is_all_well() -> None:
    findings = [*judge_store(STORE), *judge_database(DATABASE), *judge_tables(TABLES, "0002", NOVEMBER)]
    assert troubles(findings) == {}


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"redis_version": "6.0.16"}, {"Redis version": "fail"}),
        ({"redis_version": "5.0.7"}, {"Redis version": "fail"}),
        ({"server": "Dragonfly", "version": "0.9.1", "redis_version": "6.2.11"}, {}),
        ({"server": None, "version": None, "redis_version": None}, {"Redis version": "fail"}),
        ({"is_cluster": True}, {"Redis mode": "fail"}),
        ({"role": "slave"}, {"Redis role": "fail"}),
        ({"policy": "allkeys-lru"}, {"Redis eviction": "fail"}),
        ({"server": "Dragonfly", "policy": "cache_mode"}, {"Redis eviction": "fail"}),
        ({"server": "Dragonfly", "policy": None, "append_only": None}, {}),
        ({"memory_limit": 0}, {"Redis memory": "warn"}),
        ({"memory_used": 900 * 2**20}, {"Redis memory": "warn"}),
        ({"append_only": False}, {"Redis durability": "warn"}),
        ({"last_write_ok": False}, {"Redis durability": "fail"}),
        ({"clock_ahead": -3.0}, {"Redis clock": "warn"}),
        ({"refused_scripts": ("commit",)}, {"Redis scripts": "fail"}),
    ],
)
def test_what_is_wrong_with_a_store(change: dict[str, object], trouble: dict[str, str]) -> None:
    assert troubles(judge_store(replace(STORE, **change))) == trouble  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"version": 130_004}, {"Postgres version": "fail"}),
        ({"read_only": True}, {"Postgres role": "fail"}),
        ({"durable": False}, {"Postgres durability": "warn"}),
        ({"connections": 90}, {"Postgres connections": "warn"}),
        ({"clock_ahead": 2.5}, {"Postgres clock": "warn"}),
    ],
)
def test_what_is_wrong_with_a_database(change: dict[str, object], trouble: dict[str, str]) -> None:
    assert troubles(judge_database(replace(DATABASE, **change))) == trouble  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"revision": None}, {"schema": "fail"}),
        ({"revision": "0001"}, {"schema": "fail"}),
        ({"revision": "0003"}, {}),
        ({"partitions": ("bandit_events_2026_11",)}, {"partitions": "warn"}),
        ({"partitions": ()}, {"partitions": "warn"}),
        ({"default_is_empty": False}, {"default partition": "warn"}),
    ],
)
def test_what_is_wrong_with_the_tables(change: dict[str, object], trouble: dict[str, str]) -> None:
    assert troubles(judge_tables(replace(TABLES, **change), "0002", NOVEMBER)) == trouble  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("committed", "position", "is_older"),
    [(10, (3, 10), False), (10, (3, 11), False), (10, (4, 10), False), (10, (3, 9), True), (10, (2, 99), True)],
)
def test_a_postgres_that_has_forgotten_what_it_had_is_found(
    committed: int, position: tuple[int, int], *, is_older: bool
) -> None:
    head = Head(epoch=3, seq=12, committed=committed, version=1, weights_version=1, revision=1)
    assert bool(troubles(judge_agreement({"homepage": head}, {"homepage": position}).__iter__())) is is_older
    assert troubles(judge_agreement({"homepage": head}, {})) == {"agreement": "fail"}


def test_every_trouble_comes_with_what_to_do() -> None:
    worst_store = replace(
        STORE, redis_version="5", is_cluster=True, role="slave", policy="allkeys-lru", append_only=False
    )
    worst_tables = replace(TABLES, revision=None, partitions=(), default_is_empty=False)
    findings = [*judge_store(worst_store), *judge_tables(worst_tables, "0002", NOVEMBER)]
    assert all(finding.do for finding in findings if finding.status != "ok")


async def test_the_real_servers_are_well_but_for_what_tests_do_without(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    await PartitionKeeper(Partitions(pool), clock=time.time).make_missing()
    findings = await examine(settings, clock=time.time, export=tmp_path)
    assert troubles(findings) == {"Redis memory": "warn", "Postgres durability": "warn"}
    assert len(findings) > 15


async def test_redis_with_eviction_on_is_found(settings: Settings, tmp_path: Path) -> None:
    options = {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru", "appendonly": "no"}
    with RedisServer(tmp_path / "redis", options=options) as server:
        findings = await examine(settings.model_copy(update={"redis_url": SecretStr(server.url)}), clock=time.time)
    found = troubles(findings)
    assert found["Redis eviction"] == "fail"
    assert found["Redis durability"] == "warn"


async def test_a_missing_schema_is_found(settings: Settings, empty_postgres_dsn: str) -> None:
    findings = await examine(
        settings.model_copy(update={"postgres_dsn": SecretStr(empty_postgres_dsn)}), clock=time.time
    )
    assert troubles(findings)["schema"] == "fail"


async def test_servers_that_do_not_answer_are_named_without_their_passwords(settings: Settings) -> None:
    away = {
        "redis_url": SecretStr("redis://:hunter2@127.0.0.1:1/0"),
        "postgres_dsn": SecretStr("postgresql://u:hunter2@127.0.0.1:1/x"),
    }
    findings = await examine(settings.model_copy(update=away), clock=time.time)
    assert troubles(findings) == {"Redis": "fail", "Postgres": "fail"}
    assert "hunter2" not in str(findings)


async def test_a_wrong_password_is_told_apart_and_not_shown(settings: Settings) -> None:
    dsn = psycopg.conninfo.make_conninfo(settings.postgres_dsn.get_secret_value(), password="hunter2")
    url = settings.redis_url.get_secret_value()
    wrong = {"postgres_dsn": SecretStr(dsn), "redis_url": SecretStr("redis://:hunter2@" + url.partition("@")[2])}
    findings = await examine(settings.model_copy(update=wrong), clock=time.time)
    words = {finding.subject: finding.what for finding in findings}
    assert "password authentication failed" in words["Postgres"]
    assert "password" in words["Redis"]
    assert "hunter2" not in str(findings)


@pytest.mark.parametrize("folder", ["not-there", "/proc"])
async def test_a_folder_that_cannot_be_written_is_found(folder: str, settings: Settings, tmp_path: Path) -> None:
    findings = await examine(settings, clock=time.time, export=tmp_path / folder)
    assert troubles(findings)["export folder"] == "fail"


async def test_a_service_that_starts_logs_what_is_wrong(settings: Settings, tmp_path: Path) -> None:
    options = {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru", "appendonly": "no"}
    with RedisServer(tmp_path / "redis", options=options) as server, capture_logs() as lines:
        await warn(settings.model_copy(update={"redis_url": SecretStr(server.url)}), clock=time.time)
    said = {line["subject"]: (line["log_level"], line["do"]) for line in lines if line["event"] == "installation"}
    assert said["Redis eviction"][0] == "error"
    assert "noeviction" in said["Redis eviction"][1]
    assert said["Redis durability"][0] == "warning"
    assert "Redis version" not in said


async def test_no_secret_is_ever_shown(settings: Settings) -> None:
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        client.set("anything", 1)
    shown = str(await examine(settings, clock=time.time))
    for secret in (settings.redis_url, settings.postgres_dsn, settings.signing_keys):
        assert secret.get_secret_value() not in shown
        assert secret.get_secret_value().partition("@")[0] not in shown
