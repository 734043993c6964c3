"""Pods of the pipeline start as the user of their image, on a read-only root, with the mounts they are given."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance import InstanceRef
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT, JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from manifests import Object, of_kind
from pods import SCRIPTS, USER, image_environment, mounts_of, started

from bandit_local.servers.local_server import free_port
from bandit_local.testing.servers import EMPTY, MIGRATED, NewDatabase
from bandit_pipeline.definitions import defs

pytestmark = [pytest.mark.needs("unshare"), pytest.mark.only_for("linux", "root")]
JOB = "monitor_experiments"
SECONDS = 180.0


@pytest.fixture(scope="module")
def deployment() -> Object:
    [found] = of_kind("Deployment", "kubectl/pipeline")
    return found


@pytest.fixture(scope="module")
def context(deployment: Object) -> dict[str, Any]:
    """What the run launcher adds to the pods of runs."""
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    found: dict[str, Any] = json.loads(given["DAGSTER_CONTAINER_CONTEXT"])["k8s"]
    return found


def test_only_mounts_can_be_written_to(tmp_path: Path) -> None:
    program = (
        "import os; print(os.getuid(), *(os.access(f, os.W_OK) for f in ('/', '/etc', '/opt/dagster', '/tmp', '/var')))"
    )
    with started([sys.executable, "-c", program], tmp_path / "pod", environment={}, mounts=["/tmp"]) as process:  # noqa: S108
        assert process.wait(60) == 0, process.log_tail()
        assert process.log_tail() == f"{USER} False False False True False\n"


def test_the_code_location_starts(deployment: Object, tmp_path: Path) -> None:
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    port = str(free_port())
    command = [port if each == "4000" else each for each in container["command"]]
    environment = image_environment("bandit-pipeline")
    with started(command, tmp_path / "pod", environment=environment, mounts=mounts_of(container)) as process:
        deadline = time.monotonic() + SECONDS
        check = [f"{SCRIPTS}/dagster", "api", "grpc-health-check", "-p", port]
        while subprocess.run(check, capture_output=True, check=False).returncode != 0:
            assert process.running, process.log_tail()
            assert time.monotonic() < deadline, process.log_tail()
            time.sleep(0.5)
    assert "Read-only file system" not in process.log_tail()


@pytest.fixture
def instance(new_database: NewDatabase, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of a Dagster on Postgres, as its chart deploys it: its home is not in the images of runs."""
    with new_database(EMPTY) as dsn:
        storage = {"postgres": {"postgres_url": dsn}}
        logs = {
            "module": "dagster._core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": "/opt/dagster/dagster_home/storage"},
        }
        overrides = {"storage": storage, "telemetry": {"enabled": True}, "compute_logs": logs}
        with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path), overrides=overrides)) as instance:
            yield instance


def run_command(instance: dg.DagsterInstance) -> tuple[str, list[str]]:
    """Return the id of a new run, and the command of its pod, where the launcher has `failPodOnRunFailure`."""
    origin = JobPythonOrigin(
        JOB,
        RepositoryPythonOrigin(
            sys.executable,
            ModuleCodePointer("bandit_pipeline.definitions", "defs", working_directory=None),
            entry_point=DEFAULT_DAGSTER_ENTRY_POINT,
        ),
    )
    run = instance.create_run_for_job(defs.resolve_job_def(JOB), job_code_origin=origin)
    arguments = ExecuteRunArgs(origin, run.run_id, instance.get_ref(), set_exit_code_on_failure=True)
    return run.run_id, [str(each) for each in arguments.get_command_args()]


@pytest.mark.parametrize(
    ("found", "status", "exit_code"),
    [(True, dg.DagsterRunStatus.SUCCESS, 0), (False, dg.DagsterRunStatus.FAILURE, 1)],
    ids=["good", "bad"],
)
def test_a_run_on_postgres(
    instance: dg.DagsterInstance,
    context: dict[str, Any],
    new_database: NewDatabase,
    tmp_path: Path,
    found: bool,  # noqa: FBT001
    status: dg.DagsterRunStatus,
    exit_code: int,
) -> None:
    run_id, command = run_command(instance)
    added = dict(each.split("=", 1) for each in context["env_vars"])
    with new_database(MIGRATED) as dsn:
        given = {"BANDIT_POSTGRES_DSN": dsn if found else f"{dsn}-that-is-not-there"}
        environment = image_environment("bandit-pipeline") | added | given
        places = [each["mount_path"] for each in context["volume_mounts"]]
        with started(command, tmp_path / "pod", environment=environment, mounts=places) as process:
            assert process.wait(SECONDS) == exit_code, process.log_tail()
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status == status
