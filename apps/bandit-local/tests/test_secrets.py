"""Addresses and keys of every app, with odd characters and wrong forms: no part of a secret is in what anybody is told.

Told is a message, a log line, or a traceback with all its causes; and there is no traceback of an unexpected kind.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bandit_local.errors import LocalError
from bandit_local.stack import check_postgres, check_redis
from bandit_pipeline.errors import PipelineError
from bandit_pipeline.obd.source import opened
from bandit_pipeline.resources import BanditService, Bucket, Grafana, Postgres, Tracking
from bandit_router.parameters import Parameters
from bandit_sdk import AsyncClient, Client, Retries
from bandit_sdk.ctl.app import app as banditctl
from bandit_sdk.errors import BanditError
from bandit_sdk.mcp_bridge import BridgeError, Upstream
from bandit_service.cli import app as service
from bandit_service.settings import Settings

SECRET = "S3cretPart"
ONCE = Retries(attempts=1)
NOWHERE = "127.0.0.1:9"
ODD = st.text(alphabet="/#?@%:&=\\[]{}$'\" \n\té.-+1a", max_size=3)
PASSWORDS = st.builds(lambda before, after: f"{before}{SECRET}{after}", ODD, ODD)
SCHEMES = st.sampled_from(
    [
        "http",
        "https",
        "redis",
        "rediss",
        "unix",
        "postgresql",
        "postgres",
        "postgresql+psycopg",
        "ftp",
        "s3",
        "sqlite",
        "",
    ]
)
TAILS = st.sampled_from(["", "/0", "/x", "/abc?option=1", "?decode_responses=true", "/x?sslmode=no", "#x"])


def _address(scheme: str, user: str, password: str, tail: str) -> str:
    return f"{scheme}://{user}:{password}@{NOWHERE}{tail}" if scheme else f"{user}:{password}@{NOWHERE}{tail}"


ADDRESSES = st.builds(_address, SCHEMES, st.sampled_from(["", "user"]), PASSWORDS, TAILS) | st.builds(
    "host=127.0.0.1 port=9 user=u password={}".format, PASSWORDS
)


def ask(url: str, key: str | None = None) -> None:
    with Client(url, api_key=key, retries=ONCE, timeout=0.5) as client:
        client.experiments.list()


def ask_awaited(url: str) -> None:
    async def run() -> None:
        async with AsyncClient(url, retries=ONCE, timeout=0.5) as client:
            await client.experiments.list()

    asyncio.run(run())


def ask_tools(url: str) -> None:
    async def run() -> None:
        upstream = Upstream(url, None, timeout=0.5)
        try:
            await upstream.list_tools()
        finally:
            await upstream.close()

    asyncio.run(run())


def of_bucket(**fields: str) -> None:
    """Sign a request; boto3 would try for seconds to send it."""
    usable = {"endpoint": f"http://{NOWHERE}", "access_key": "key", "secret_key": "word"}
    with Bucket(**usable | fields)._explained("x") as client:
        client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})


def finished(uri: str) -> None:
    """Ask MLflow; it tries a database for minutes, and makes one that is a file."""
    if not uri.startswith(("postgres", "sqlite")):
        Tracking(uri=uri).finished("x")


def open_transaction(dsn: str) -> None:
    with Postgres(dsn=dsn).transaction():
        pass


def ask_service(url: str, key: str = "") -> None:
    with BanditService(url=url, api_key=key).client():
        pass


def open_log(source: str) -> None:
    with opened(source, "men", "random", "men.csv"):
        pass


def annotate(url: str, token: str = "") -> None:
    Grafana(url=url, token=token).annotate("text", ["tag"], 0)


def settings_of(name: str) -> Callable[[str], None]:
    usable = {"redis_url": f"redis://{NOWHERE}", "postgres_dsn": f"postgresql://{NOWHERE}/x", "signing_keys": ""}

    def read(value: str) -> None:
        Settings(**usable | {name: value})  # type: ignore[arg-type]

    return read


ADDRESSED: dict[str, Callable[[str], object]] = {
    "client": ask,
    "client, awaited": ask_awaited,
    "bandit-mcp": ask_tools,
    "router": lambda url: str(Parameters(experiment_id="x", service_url=url, branches=2)),
    "pipeline: service": ask_service,
    "pipeline: S3": lambda url: of_bucket(endpoint=url),
    "pipeline: Postgres": open_transaction,
    "pipeline: MLflow": finished,
    "pipeline: Grafana": annotate,
    "pipeline: logs": open_log,
    "local: Redis": check_redis,
    "local: Postgres": check_postgres,
    "service: Redis": settings_of("redis_url"),
    "service: Postgres": settings_of("postgres_dsn"),
}
KEYED: dict[str, Callable[[str], object]] = {
    "client": lambda key: ask(f"http://{NOWHERE}", key),
    "pipeline: service": lambda key: ask_service(f"http://{NOWHERE}", key),
    "pipeline: S3": lambda key: of_bucket(access_key=key),
    "pipeline: S3, secret": lambda key: of_bucket(secret_key=key),
    "pipeline: S3, token": lambda key: of_bucket(session_token=key),
    "pipeline: Grafana": lambda token: annotate(f"http://{NOWHERE}", token),
    "service: signing keys": settings_of("signing_keys"),
}
EXPECTED = (BanditError, BridgeError, LocalError, PipelineError, ValueError)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


def check(work: Callable[[str], object], value: str, log: pytest.LogCaptureFixture) -> None:
    log.clear()
    with log.at_level(logging.DEBUG, "bandit_sdk"):
        try:
            work(value)
        except EXPECTED as error:
            told = "".join(traceback.format_exception(error))
            assert SECRET not in told, f"{value!r}: {told}"
    assert SECRET not in log.text


QUIETLY = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("name", ADDRESSED)
@QUIETLY
@given(value=ADDRESSES)
@example(value=f"postgresql+psycopg://u:{SECRET}@{NOWHERE}/x")
@example(value=f"redis://:{SECRET}/rest@{NOWHERE}/0")
@example(value=f"http://u:{SECRET}@{NOWHERE}")
@example(value=f"http://u:12/{SECRET}@{NOWHERE}")
@example(value=f"http://:\n{SECRET}?@{NOWHERE}")
@example(value=f"http://u:{SECRET}")
def test_addresses(name: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    check(ADDRESSED[name], value, caplog)


@pytest.mark.parametrize("name", KEYED)
@QUIETLY
@given(value=PASSWORDS)
@example(value=f"{SECRET}\n")
def test_keys(name: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    check(KEYED[name], value, caplog)


COMMANDS = {
    "migrate": ["migrate"],
    "wait-for-schema": ["wait-for-schema", "--seconds", "0"],
    "keys list": ["keys", "list"],
    "partitions": ["partitions"],
    "serve": ["serve"],
    "doctor": ["doctor"],
}


@pytest.mark.parametrize("name", COMMANDS)
@settings(QUIETLY, max_examples=5)
@given(value=ADDRESSES)
@example(value=f"postgresql://u:{SECRET}%zz@{NOWHERE}/x")
def test_commands_of_the_service(name: str, value: str) -> None:
    environment = {
        "BANDIT_POSTGRES_DSN": value,
        "BANDIT_REDIS_URL": value,
        "BANDIT_SIGNING_KEYS": f"k1:{SECRET}",
    }
    check_command(service, COMMANDS[name], environment)


@pytest.mark.parametrize("arguments", [["experiments", "list"], ["doctor"]], ids=" ".join)
@settings(QUIETLY, max_examples=5)
@given(url=ADDRESSES, key=PASSWORDS)
def test_banditctl(arguments: list[str], url: str, key: str) -> None:
    check_command(banditctl, arguments, {"BANDIT_URL": url, "BANDIT_API_KEY": key.replace("\x00", "")})


@settings(QUIETLY, max_examples=10)
@given(url=ADDRESSES, key=PASSWORDS)
def test_apply_experiments(url: str, key: str) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "x.json").write_text('{"experiment_id": "x", "arms": ["a", "b"]}')
        given = {"BANDIT_URL": url, "BANDIT_API_KEY": key}
        check_command(banditctl, ["experiments", "apply", "--patience", "0.1", folder], given)


def check_command(app: object, arguments: list[str], environment: dict[str, str]) -> None:
    done = CliRunner().invoke(app, arguments, env=environment)  # type: ignore[arg-type]
    assert SECRET not in done.output
    assert done.exit_code != 0
    assert isinstance(done.exception, SystemExit), "".join(traceback.format_exception(done.exception))
