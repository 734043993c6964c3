"""The doctor finds what is wrong, says what to do, and never shows a secret."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg import sql
from pydantic import SecretStr
from structlog.testing import capture_logs

from bandit_local.servers import PostgresServer, RedisServer
from bandit_service.ledger.agreement import Difference
from bandit_service.ledger.inspection import DatabaseFacts, Posterior, TableFacts, WorkFacts
from bandit_service.ledger.partitions import Partitions
from bandit_service.ledger.pool import Pool
from bandit_service.mirror.inspection import StoreFacts
from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.operations.disk import Growth, judge_disk
from bandit_service.operations.doctor import Examination, examine, warn
from bandit_service.operations.findings import (
    Finding,
    judge_database,
    judge_spool,
    judge_store,
    judge_tables,
)
from bandit_service.operations.ledger_findings import judge_mirror, judge_totals, judge_work
from bandit_service.operations.partitions import PartitionKeeper
from bandit_service.settings import Settings
from bandit_service.spool.inspection import SpoolFacts

from .conftest import MICRO, NewRecorded, Recorded, add_producer, execute, ms, scalar

STORE = StoreFacts(
    server="Redis",
    version="7.4.1",
    redis_version="7.4.1",
    role="master",
    policy="noeviction",
    memory_limit=2**30,
    memory_used=2**20,
    append_only=True,
    last_write_ok=True,
    clock_ahead=0.01,
    refused_scripts=(),
)
DATABASE = DatabaseFacts(
    version=180_001,
    read_only=False,
    durable=True,
    clock_ahead=-0.01,
    connections=10,
    connection_limit=100,
    size=2**30,
    disk_free=None,
)
NOVEMBER = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
TABLES = TableFacts(
    revision="0002",
    sizes={"bandit_events_2026_11_20": 2**20, "bandit_events_2026_11_21": 0, "bandit_events_default": 0},
    default_is_empty=True,
)
WORK = WorkFacts(refusal=None, commits=True, undrained={}, unsettled_for=2.0, overdue_for=-60.0, refused={})


def troubles(findings: Iterator[Finding] | list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.status for finding in findings if finding.status != "ok"}


def test_a_sound_installation_is_all_well() -> None:
    findings = [
        *judge_store(STORE),
        *judge_spool(SpoolFacts(None, ())),
        *judge_database(DATABASE),
        *judge_tables(TABLES, "0002", NOVEMBER),
        *judge_work(WORK, ()),
        judge_totals([]),
        judge_mirror({}, {}, {}),
        judge_disk(Growth(None, 30, 0), None),
    ]
    assert troubles(findings) == {}


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"redis_version": "6.0.16"}, {"Redis version": "fail"}),
        ({"redis_version": "5.0.7"}, {"Redis version": "fail"}),
        ({"server": "Dragonfly", "version": "0.9.1", "redis_version": "6.2.11"}, {}),
        ({"server": None, "version": None, "redis_version": None}, {"Redis version": "fail"}),
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
        ({"sizes": {"bandit_events_2026_11_20": 1}}, {"partitions": "warn"}),
        ({"sizes": {}}, {"partitions": "warn"}),
        ({"default_is_empty": False}, {"default partition": "warn"}),
    ],
)
def test_what_is_wrong_with_the_tables(change: dict[str, object], trouble: dict[str, str]) -> None:
    assert troubles(judge_tables(replace(TABLES, **change), "0002", NOVEMBER)) == trouble  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"refusal": "permission denied"}, {"Postgres inserts": "fail"}),
        ({"commits": False}, {"Postgres inserts": "fail"}),
        ({"undrained": {"p1": 61.0}}, {"processes": "warn"}),
        ({"undrained": {"p1": 3_600.0}}, {"processes": "fail"}),
        ({"unsettled_for": 600.0}, {"settling": "warn"}),
        ({"unsettled_for": None, "overdue_for": None}, {}),
        ({"overdue_for": 3_600.0}, {"closing": "warn"}),
        ({"refused": {"too old": 3}}, {"refused events": "warn"}),
    ],
)
def test_what_is_wrong_with_the_work(change: dict[str, object], trouble: dict[str, str]) -> None:
    assert troubles(judge_work(replace(WORK, **change), ())) == trouble  # type: ignore[arg-type]


def test_totals_that_differ_are_named() -> None:
    finding = judge_totals([Difference("homepage", 1, "bandit", "de", 0, 1, -500_000, 0)])
    assert finding.status == "fail"
    assert "homepage, arm 1, bandit, segment de: +0 decisions, +1 rewards, -0.5" in finding.what


@pytest.mark.parametrize(
    ("before", "mirrored", "after", "status"),
    [
        ((2, 3), (2, 3), (2, 3), "ok"),
        ((2, 3), (2, 4), (2, 3), "fail"),
        ((2, 3), None, (2, 3), "fail"),
        ((2, 3), (3, 3), (4, 5), "ok"),
        ((2, 3), (1, 3), (4, 5), "fail"),
        ((-5, 3), (-9, 5), (-7, 8), "ok"),
    ],
)
def test_redis_has_to_lie_between_two_looks_at_postgres(
    before: tuple[int, int], mirrored: tuple[int, int] | None, after: tuple[int, int], status: str
) -> None:
    arm = ("homepage", 0)
    first, last = ({arm: Posterior(*look, is_gaussian=before[0] < 0)} for look in (before, after))
    found = {} if mirrored is None else {arm: mirrored}
    assert judge_mirror(first, found, last).status == status
    assert judge_mirror(first, found, {}).status == "ok", "archived meanwhile"


def test_every_trouble_comes_with_what_to_do() -> None:
    worst_store = replace(STORE, redis_version="5", role="slave", policy="allkeys-lru", append_only=False)
    worst_tables = replace(TABLES, revision=None, sizes={}, default_is_empty=False)
    missing = {("homepage", 0): Posterior(1, 1, is_gaussian=False)}
    worst_work = WorkFacts(
        "no room", commits=False, undrained={"p1": 1e4}, unsettled_for=1e4, overdue_for=1e4, refused={"x": 1}
    )
    findings = [
        *judge_store(worst_store),
        *judge_spool(SpoolFacts("NOPERM", ())),
        *judge_spool(SpoolFacts("one of 3 nodes", (), is_cluster=True)),
        *judge_tables(worst_tables, "0002", NOVEMBER),
        *judge_work(worst_work, ()),
        judge_totals([Difference("homepage", 1, "bandit", "", 0, 1, 0, 0)]),
        judge_mirror(missing, {}, missing),
        judge_disk(Growth(1.0, 0, 1), 0),
    ]
    assert all(finding.do for finding in findings if finding.status != "ok")


async def test_the_real_servers_are_well_but_for_what_tests_do_without(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    await PartitionKeeper(Partitions(pool), clock=time.time).make_missing()
    findings = await examine(settings, clock=time.time, examination=Examination(export=tmp_path))
    assert troubles(findings) == {"Redis memory": "warn", "Postgres durability": "warn"}
    assert len(findings) > 24


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
    findings = await examine(settings, clock=time.time, examination=Examination(export=tmp_path / folder))
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


async def looked_at(settings: Settings, **options: object) -> dict[str, Finding]:
    examination = Examination(**options)  # type: ignore[arg-type]
    return {finding.subject: finding for finding in await examine(settings, clock=time.time, examination=examination)}


@pytest.fixture
async def recorded(new_recorded: NewRecorded) -> Recorded:
    recorded = new_recorded()
    await recorded.create()
    return recorded


@pytest.mark.usefixtures("recorded")
async def test_a_probe_leaves_nothing_behind(
    settings: Settings,
    pool: Pool,
) -> None:
    found = await looked_at(settings)
    assert found["Postgres inserts"].status == found["Redis streams"].status == "ok"
    for table in ("bandit_events", "producers", "arm_totals"):
        assert await scalar(pool, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))) == 0
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        assert client.keys("bandit:doctor*") == []


async def test_a_database_that_takes_no_events_is_found(settings: Settings, pool: Pool) -> None:
    name = await scalar(pool, "SELECT current_database()")
    await execute(pool, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    found = await looked_at(settings)
    assert found["Postgres inserts"].status == found["Postgres role"].status == "fail"
    assert "read-only" in found["Postgres inserts"].what


async def test_a_standby_that_commits_wait_for_in_vain_is_found(
    settings: Settings, postgres_server: PostgresServer, pool: Pool
) -> None:
    name = await scalar(pool, "SELECT current_database()")
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            found = await looked_at(settings, compare=False)
        finally:
            connection.execute("SET synchronous_commit = off")
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")
    assert "a synchronous standby is missing" in found["Postgres inserts"].what


async def test_a_redis_that_takes_no_entries_is_found(settings: Settings, tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all", "-xadd")
        url = "redis://reader:secret@" + server.url.partition("@")[2]
        found = await looked_at(settings.model_copy(update={"redis_url": SecretStr(url)}), compare=False)
    assert found["Redis streams"].status == "fail"
    assert "xadd" in found["Redis streams"].what


async def test_a_user_without_info_is_no_outage(settings: Settings, tmp_path: Path) -> None:
    options = {"maxmemory": "100mb"}
    with RedisServer(tmp_path / "redis", options=options) as server, redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-info", "-time")
        url = "redis://app:secret@" + server.url.partition("@")[2]
        found = await looked_at(settings.model_copy(update={"redis_url": SecretStr(url)}), compare=False)
    assert {subject: each.status for subject, each in found.items() if subject.startswith("Redis")} == {
        "Redis INFO": "warn",
        "Redis scripts": "ok",
        "Redis streams": "ok",
    }
    assert "+info" in found["Redis INFO"].do


async def test_a_database_that_cannot_hold_every_text_is_found(settings: Settings, odd_database: str) -> None:
    found = await looked_at(settings.model_copy(update={"postgres_dsn": SecretStr(odd_database)}))
    assert found["Postgres encoding"].status == "fail"
    assert "UTF8" in found["Postgres encoding"].do


async def test_totals_that_are_not_the_sum_of_their_events_are_found(
    settings: Settings, pool: Pool, recorded: Recorded
) -> None:
    await recorded.decide(datetime.now(UTC), 3)
    assert (await looked_at(settings))["totals"].status == "ok"
    await execute(pool, "UPDATE arm_totals SET decisions = decisions + 2")
    found = (await looked_at(settings))["totals"]
    assert found.status == "fail"
    assert "homepage, arm 0, bandit: +2 decisions" in found.what
    assert "totals" not in await looked_at(settings, compare=False)


async def test_a_redis_that_lags_behind_the_totals_is_found(settings: Settings, pool: Pool, recorded: Recorded) -> None:
    await add_producer(pool)
    await execute(
        pool,
        "INSERT INTO leases (experiment_id, holder) VALUES ('homepage', 'p1')"
        " ON CONFLICT (experiment_id) DO UPDATE SET holder = 'p1'",
    )
    await recorded.reward("d0", datetime.now(UTC))
    keys = ExperimentKeys("homepage")
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        values = {keys.alpha(0): 2 * MICRO, keys.beta(0): MICRO, keys.alpha(1): MICRO, keys.beta(1): MICRO}
        client.mset(values)
        found = (await looked_at(settings))["posteriors in Redis"]
        assert (found.status, found.what) == ("ok", "they are those of Postgres, for 1 experiments")
        client.set(keys.alpha(0), MICRO)
        await execute(pool, "UPDATE producers SET heartbeat_at = clock_timestamp()")
        assert (await looked_at(settings))["posteriors in Redis"].status == "fail"


async def test_what_waits_and_what_was_left_behind_is_found(settings: Settings, pool: Pool, recorded: Recorded) -> None:
    await recorded.reward("d0", datetime.now(UTC), settles=True, bucket_ms=ms(datetime(2026, 1, 1, tzinfo=UTC)))
    await execute(pool, "UPDATE unsettled SET recorded_at = recorded_at - interval '1 hour'")
    await execute(pool, "UPDATE open_buckets SET bucket = now() - interval '2 days'")
    await add_producer(pool, "gone", drained_to=datetime.now(UTC) - timedelta(hours=1), dead=True)
    await execute(pool, "INSERT INTO refused_events (experiment_id, reason, event) VALUES ('x', 'bad value: 7', '{}')")
    found = await looked_at(settings, compare=False)
    assert "waited for 36" in found["settling"].what
    assert found["closing"].status == "warn"
    assert "gone (without a stream) ended without having written everything" in found["processes"].what
    assert "1 bad value" in found["refused events"].what


@pytest.mark.usefixtures("recorded")
async def test_the_size_of_a_disk_that_cannot_be_seen_can_be_told(
    settings: Settings,
    pool: Pool,
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    await PartitionKeeper(Partitions(pool), clock=yesterday.timestamp).make_missing()
    assert "up to" in (await looked_at(settings, compare=False))["disk"].what
    assert "days are left" in (await looked_at(settings, compare=False, disk_size=1))["disk"].what
