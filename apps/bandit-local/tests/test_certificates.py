"""A certificate that is not accepted ends every command at once: the option is named, and no secret."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from bandit_local.testing.certificates import Untrusted, new_certificate, untrusted_server
from bandit_pipeline.errors import PipelineError
from bandit_pipeline.resources import Grafana
from bandit_sdk import AsyncClient, Client
from bandit_sdk.errors import UnreachableError

SECRET = "S3cretPart"
SCRIPTS = Path(sysconfig.get_path("scripts"))
SIGNING = "k1:" + base64.b64encode(bytes(range(128, 160))).decode()
AWAY_REDIS, AWAY_POSTGRES = "redis://127.0.0.1:9", "postgresql://127.0.0.1:9/x"
# Longer than the test may take: what is not accepted is not waited for.
PATIENCE = "300"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Untrusted]:
    with untrusted_server(folder / "own") as server:
        yield server


@pytest.fixture(scope="module")
def dsn(folder: Path) -> Iterator[str]:
    authority = new_certificate(folder / "other")
    with untrusted_server(folder / "postgres", as_postgres=True) as server:
        options = f"sslmode=verify-ca&sslrootcert={authority}"
        yield f"postgresql://u:{SECRET}@127.0.0.1:{server.port}/x?{options}"


def ended(*command: str, program: str = "bandit-service", **environment: str) -> tuple[int, str]:
    """Return exit status and words of a command."""
    done = subprocess.run(
        [SCRIPTS / program, *command],
        env=os.environ | {"BANDIT_SIGNING_KEYS": SIGNING, "COLUMNS": "500"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert SECRET not in said
    assert "Traceback" not in said
    return done.returncode, said


def test_redis_with_another_authority(server: Untrusted, folder: Path) -> None:
    url = f"rediss://:{SECRET}@127.0.0.1:{server.port}/0?ssl_ca_certs={new_certificate(folder / 'redis')}"
    status, said = ended("serve", "--port", "0", BANDIT_REDIS_URL=url, BANDIT_POSTGRES_DSN=AWAY_POSTGRES)
    assert status == 1
    assert said.startswith("bandit-service: BANDIT_REDIS_URL: the certificate of Redis is not accepted (")
    assert said.endswith("; see ssl_ca_certs\n")


@pytest.mark.parametrize(
    "command",
    [["serve", "--port", "0"], ["migrate", "--patience", PATIENCE], ["wait-for-schema", "--seconds", PATIENCE]],
    ids=lambda command: command[0],
)
def test_postgres_with_another_authority(dsn: str, command: list[str]) -> None:
    status, said = ended(*command, BANDIT_REDIS_URL=AWAY_REDIS, BANDIT_POSTGRES_DSN=dsn)
    assert status == 1
    assert said.endswith("certificate verify failed; see sslrootcert and sslmode\n")
    assert said.count("\n") == 1


def test_experiments_in_git(server: Untrusted, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('{"experiment_id": "x", "arms": ["a", "b"]}')
    url = f"https://u:{SECRET}@127.0.0.1:{server.port}"
    command = ("experiments", "apply", "--patience", PATIENCE, str(file))
    status, said = ended(*command, program="banditctl", BANDIT_URL=url, BANDIT_API_KEY=SECRET)
    assert status == 3
    assert "is not accepted" in said


def test_a_client_does_not_try_again(server: Untrusted) -> None:
    url, before = f"https://u:{SECRET}@127.0.0.1:{server.port}", server.connections
    with Client(url, api_key=SECRET) as client:
        with pytest.raises(UnreachableError, match=r"certificate .* is not accepted .*SSL_CERT_FILE") as raised:
            client.experiments.list()
        assert client.select("x", default="a").reason == str(raised.value)
    assert server.connections == before + 2
    assert SECRET not in str(raised.value)


def test_an_awaited_client(server: Untrusted) -> None:
    async def run() -> None:
        async with AsyncClient(f"https://127.0.0.1:{server.port}") as client:
            await client.experiments.list()

    with pytest.raises(UnreachableError, match="is not accepted"):
        asyncio.run(run())


def test_annotations(server: Untrusted) -> None:
    with pytest.raises(PipelineError, match=r"its certificate is not accepted: .*see BANDIT_GRAFANA_URL"):
        Grafana(url=f"https://127.0.0.1:{server.port}").annotate("text", ["tag"], 0)
