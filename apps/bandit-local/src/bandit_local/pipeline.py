"""The pipeline on one machine: the service, an S3 server, and the Dagster UI, or everything materialized once."""

import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from rich.console import Console

from bandit_local.errors import LocalError
from bandit_local.job import say
from bandit_local.options import PipelineOptions
from bandit_local.servers import S3Server
from bandit_local.servers.local_server import HOST, port_is_free
from bandit_local.servers.process import ChildProcess
from bandit_local.servers.s3 import ACCESS_KEY, SECRET_KEY
from bandit_local.stack import Stack, running_stack

BUCKET = "bandit"
UI_TIMEOUT = 300.0
CHECK_EVERY = 0.5
# One run at a time: they share a small machine with the service, and none is in a hurry.
DAGSTER = """\
telemetry:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
"""


def run(options: PipelineOptions, console: Console) -> bool:
    """Run the pipeline until Ctrl-C or SIGTERM, or once; return whether everything went well."""
    if not options.once and not port_is_free(options.ui_port):
        raise LocalError(f'Port {options.ui_port} is taken by another program: choose one with ARGS="--ui-port N".')
    with running_stack(options.stack) as stack, S3Server(options.data / "s3") as s3:
        s3.create_bucket(BUCKET)
        environment = settings(options.data.absolute(), stack, s3)
        say(console, f"{stack.store}, Postgres on {stack.postgres_address}, service on {stack.url}")
        say(console, f"S3 on {s3.url}, bucket {BUCKET} (in memory: empty after each start), data in {options.data}")
        say(console, f"MLflow store {environment['BANDIT_MLFLOW_URI']}")
        if options.once:
            succeeded = materialize(options, environment)
        else:
            succeeded = True
            with dagster_ui(options, environment) as ui:
                say(console, f"Dagster on http://{HOST}:{options.ui_port}; Ctrl-C stops everything.")
                _watch(stack, ui)
        say(console, "Stopping: Dagster first, then S3, the service, Postgres and Valkey.")
    say(console, "Stopped.")
    return succeeded


def settings(data: Path, stack: Stack, s3: S3Server) -> dict[str, str]:
    """Return the environment that tells the pipeline where everything is, and make Dagster's home."""
    home = data / "dagster"
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "dagster.yaml").write_text(DAGSTER)
    spared = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return {
        # Every server is on loopback, which no proxy reaches.
        "no_proxy": f"{spared},{HOST},localhost".strip(","),
        "PYTHONSAFEPATH": "1",  # a file beside the user must not stand in for a module of the same name
        "DAGSTER_HOME": str(home),
        "BANDIT_S3_ENDPOINT": s3.url,
        "BANDIT_S3_BUCKET": BUCKET,
        "BANDIT_S3_ACCESS_KEY": ACCESS_KEY,
        "BANDIT_S3_SECRET_KEY": SECRET_KEY,
        "BANDIT_POSTGRES_DSN": stack.postgres_dsn,
        "BANDIT_URL": stack.url,
        "BANDIT_MLFLOW_URI": f"sqlite:///{data}/mlflow.db",
        "BANDIT_MLFLOW_ARTIFACTS": (data / "mlflow").as_uri(),
    }


def materialize(options: PipelineOptions, environment: Mapping[str, str]) -> bool:
    """Materialize everything, with a line on stdout for each run; return whether all succeeded."""
    chosen = [argument for name in options.campaign for argument in ("--campaign", name)]
    command = [sys.executable, "-m", "bandit_pipeline.materialize", *chosen]
    with (options.data / "pipeline.log").open("ab") as log:
        return (
            subprocess.run(  # noqa: S603 - our own command, no shell
                command, stdin=subprocess.DEVNULL, stderr=log, env={**os.environ, **environment}, check=False
            ).returncode
            == 0
        )


@contextmanager
def dagster_ui(options: PipelineOptions, environment: Mapping[str, str]) -> Iterator[ChildProcess]:
    """Lend the Dagster web server and its daemon, once the UI answers; LocalError when it does not."""
    dagster = Path(sysconfig.get_path("scripts")) / "dagster"
    command: list[str | Path] = [
        dagster,
        "dev",
        "-h",
        HOST,
        "-p",
        str(options.ui_port),
        "-m",
        "bandit_pipeline.definitions",
    ]
    # Dagster's own children end in order on SIGINT only.
    ui = ChildProcess(command, options.data / "dagster.log", stop_signal=signal.SIGINT, environment=environment)
    try:
        deadline = time.monotonic() + UI_TIMEOUT
        while not _answers(options.ui_port):
            _check(ui)
            if time.monotonic() > deadline:
                raise LocalError(f"Dagster did not answer within {UI_TIMEOUT:g} s; see {ui.log}.")
            time.sleep(CHECK_EVERY)
        yield ui
    finally:
        ui.stop()


def _watch(stack: Stack, ui: ChildProcess) -> None:
    """Wait until the user ends it; LocalError when a part ends by itself."""
    with suppress(KeyboardInterrupt):
        while True:
            stack.check()
            _check(ui)
            time.sleep(CHECK_EVERY)


def _check(ui: ChildProcess) -> None:
    if not ui.running:
        raise LocalError(f"Dagster ended: {ui.last_words()} (see {ui.log})")


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/server_info", timeout=2.0, trust_env=False).is_success
    except httpx.TransportError:
        return False
