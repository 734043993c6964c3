"""Containers of jobs, service, router and variants run what the manifests say, on a read-only root, on real stores."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from manifests import BANDIT, Object, of_kind, pod_specs
from pods import command_of, environment_of, image_environment, mounts_of, started

from bandit_local.servers import RedisServer
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess
from bandit_local.testing.servers import EMPTY, MIGRATED, NewDatabase

pytestmark = [pytest.mark.needs("unshare"), pytest.mark.only_for("linux", "root")]
SECONDS = 90.0
METRICS_TOKEN = "a-token-for-Prometheus"
DEFINITIONS = BANDIT / "app" / "base" / "experiments" / "definitions"


def containers_of(kind: str, overlay: str, part: str = "containers") -> dict[str, Object]:
    specs = [spec for found in of_kind(kind, overlay) for _, spec in pod_specs(found)]
    return {each["name"]: each for spec in specs for each in spec.get(part, [])}


def run(
    container: Object, folder: Path, secrets: Mapping[str, str], command: list[str] | None = None
) -> AbstractContextManager[ChildProcess]:
    """Lend what a container runs, or another command in it. Ports and addresses of this machine are among `secrets`."""
    environment = environment_of(container, secrets) | dict(secrets)
    return started(command or command_of(container), folder, environment=environment, mounts=mounts_of(container))


def wait_for_probes(container: Object, process: ChildProcess, port: int) -> None:
    """Wait until everything answers that the kubelet asks for."""
    paths = {container[kind]["httpGet"]["path"] for kind in container if kind.endswith("Probe")}
    deadline = time.monotonic() + SECONDS
    while paths:
        assert process.running, process.log_tail()
        assert time.monotonic() < deadline, process.log_tail()
        try:
            paths -= {path for path in paths if httpx.get(f"http://{HOST}:{port}{path}", timeout=5).is_success}
        except httpx.TransportError:
            time.sleep(0.1)


@dataclass
class Service:
    """The service's container on real stores."""

    container: Object
    folder: Path
    secrets: dict[str, str]
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def new_key(self, role: str) -> str:
        """Make an API key by the command that the documentation gives to `kubectl exec`."""
        command = ["bandit-service", "keys", "create", "--name", role, "--role", role]
        with run(self.container, self.folder / f"key-{role}", self.secrets, command) as process:
            assert process.wait(SECONDS) == 0, process.log_tail()
            return process.log_tail().strip()


def test_the_schema_is_made(new_database: NewDatabase, tmp_path: Path) -> None:
    [container] = containers_of("Job", "kubectl/migrations").values()
    with new_database(EMPTY) as dsn, run(container, tmp_path / "pod", {"BANDIT_POSTGRES_DSN": dsn}) as process:
        assert process.wait(SECONDS) == 0, process.log_tail()
        assert "the schema is at revision" in process.log_tail()


@pytest.mark.parametrize("stage", ["service", "pipeline"])
def test_pods_wait_for_the_schema(stage: str, new_database: NewDatabase, tmp_path: Path) -> None:
    [container] = containers_of("Deployment", f"kubectl/{stage}", "initContainers").values()
    with new_database(MIGRATED) as dsn, run(container, tmp_path / "pod", {"BANDIT_POSTGRES_DSN": dsn}) as process:
        assert process.wait(SECONDS) == 0, process.log_tail()


@pytest.fixture(scope="module")
def service(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    [container] = containers_of("Deployment", "kubectl/service").values()
    folder = tmp_path_factory.mktemp("service")
    with RedisServer(folder / "redis", options={"appendonly": "no"}) as redis, new_database(MIGRATED) as dsn:
        given = {
            "BANDIT_REDIS_URL": redis.url,
            "BANDIT_POSTGRES_DSN": dsn,
            "BANDIT_SIGNING_KEYS": new_signing_key(folder),
            "BANDIT_METRICS_TOKEN": METRICS_TOKEN,
        }
        service = Service(container, folder, given)
        with run(container, folder / "pod", given | {"BANDIT_PORT": str(service.port)}) as process:
            wait_for_probes(container, process, service.port)
            yield service
            assert process.stop() == 0, process.log_tail()


def new_signing_key(folder: Path) -> str:
    """Make a key as the documentation says: the image, told `keys signing` and nothing else."""
    command, environment = ["bandit-service", "keys", "signing"], image_environment("bandit-service")
    with started(command, folder / "signing", environment=environment, mounts=[]) as process:
        assert process.wait(SECONDS) == 0, process.log_tail()
        return process.log_tail().strip()


def test_metrics_need_the_token(service: Service) -> None:
    assert httpx.get(f"{service.url}/metrics").status_code == 401
    assert httpx.get(f"{service.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).is_success


@pytest.fixture(scope="module")
def experiments(service: Service) -> None:
    """What Git holds, applied by the Job with a key of its own."""
    [container] = containers_of("Job", "kubectl/experiments").values()
    command = [str(DEFINITIONS) if each == "/experiments" else each for each in command_of(container)]
    given = {"BANDIT_URL": service.url, "BANDIT_API_KEY": service.new_key("admin")}
    with run(container, service.folder / "experiments", given, command) as process:
        assert process.wait(SECONDS) == 0, process.log_tail()


def started_node(
    container: Object, node: dict[str, Any], folder: Path, changes: Mapping[str, str]
) -> tuple[AbstractContextManager[ChildProcess], int]:
    """Start a node of the graph with the environment that Seldon's operator gives it; return it and its port."""
    ports = {name: free_port() for name in ("HTTP", "GRPC", "METRICS")}
    parameters = [each | {"value": changes.get(each["name"], each["value"])} for each in node["parameters"]]
    own = {f"PREDICTIVE_UNIT_{name}_SERVICE_PORT": str(port) for name, port in ports.items()}
    seldon = own | {"PREDICTIVE_UNIT_ID": node["name"], "PREDICTIVE_UNIT_PARAMETERS": json.dumps(parameters)}
    return run(container | {"env": container.get("env", [])}, folder, seldon | dict(changes)), ports["HTTP"]


@pytest.mark.usefixtures("experiments")
def test_the_router_and_a_variant_answer(service: Service, tmp_path: Path) -> None:
    containers = containers_of("SeldonDeployment", "kubectl/router")
    [deployment] = of_kind("SeldonDeployment", "kubectl/router")
    graph = deployment["spec"]["predictors"][0]["graph"]
    changes = {"service_url": service.url, "timeout": "5.0", "BANDIT_API_KEY": service.new_key("writer")}
    message = {"data": {"ndarray": [[1]]}}
    for node, path in ((graph, "/route"), (graph["children"][0], "/predict")):
        container = containers[node["name"]]
        lent, port = started_node(container, node, tmp_path / node["name"], changes)
        with lent as process:
            wait_for_probes(container, process, port)
            answer = httpx.post(f"http://{HOST}:{port}{path}", json=message, timeout=30)
            assert answer.is_success, (answer.text, process.log_tail())
            if path == "/route":
                assert answer.json()["data"]["ndarray"][0][0] in range(len(graph["children"]))
                assert {each["key"] for each in answer.json()["meta"]["metrics"]} == {"bandit_router_routed"}
            else:
                assert answer.json()["jsonData"] == {"variant": node["name"]}
            assert "Read-only file system" not in process.log_tail()
