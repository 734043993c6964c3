"""Nodes of a graph: real `seldon-core-microservice` processes in the router's own environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess

APP = Path(__file__).parents[2]
PROGRAMS = APP / ".venv" / "bin"
WRAPPER = (PROGRAMS / "seldon-core-microservice",)
_SELDON_TYPES = {str: "STRING", int: "INT", float: "FLOAT", bool: "BOOL"}


@dataclass(frozen=True)
class Node:
    """A node that answers over REST, and over gRPC if it was asked to."""

    name: str
    process: ChildProcess
    http_port: int
    grpc_port: int
    metrics_port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    def metric(self, name: str, **labels: str) -> float:
        """Return a counter's sum over the node's processes."""
        return sum(self.metric_by_process(name, **labels).values())

    def metric_by_process(self, name: str, **labels: str) -> Counter[str]:
        text = httpx.get(f"http://{HOST}:{self.metrics_port}/prometheus").text
        found: Counter[str] = Counter()
        for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
            if sample.name == name and labels.items() <= sample.labels.items():
                found[sample.labels["worker_id"]] += int(sample.value)
        return found

    def call_over_grpc(self, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Call methods (`Route`, `SendFeedback`) with messages; the client runs where Seldon's messages are known."""
        found = subprocess.run(
            [PROGRAMS / "python", Path(__file__).with_name("call_grpc.py"), str(self.grpc_port)],
            input="".join(f"{json.dumps(call)}\n" for call in calls),
            check=True,
            capture_output=True,
            text=True,
        )
        return [json.loads(line) for line in found.stdout.splitlines()]

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.running, self.process.log_tail()
            assert time.monotonic() < deadline, self.process.log_tail()
            time.sleep(0.05)

    def kill(self) -> None:
        """End every process of the node: its main process would wait for the others."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()

    def _answers(self) -> bool:
        try:
            urls = (f"{self.url}/health/ping", f"http://{HOST}:{self.metrics_port}/prometheus")
            return all(httpx.get(url, timeout=5).is_success for url in urls)
        except httpx.TransportError:
            return False


def start_node(
    name: str,
    component: str,
    service_type: str,
    parameters: dict[str, Any],
    folder: Path,
    *,
    api_key: str = "",
    grpc: bool = False,
    workers: int = 1,
    program: tuple[str | Path, ...] = WRAPPER,
) -> Node:
    """Start a node as the operator would: its name, ports and parameters in the environment."""
    http_port, grpc_port, metrics_port = free_port(), free_port(), free_port()
    folder.mkdir()
    environment = {
        "PREDICTIVE_UNIT_ID": name,
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(http_port),
        "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": str(grpc_port),
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": str(metrics_port),
        "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus",
        "PREDICTIVE_UNIT_PARAMETERS": json.dumps(
            [
                {"name": key, "value": str(value), "type": _SELDON_TYPES[type(value)]}
                for key, value in parameters.items()
            ]
        ),
        "GRPC_WORKERS": "1" if grpc else "0",
        "GUNICORN_WORKERS": str(workers),
        "BANDIT_API_KEY": api_key,
        "XDG_RUNTIME_DIR": str(folder),
    }
    command: list[str | Path] = [*program, component, "--service-type", service_type]
    process = ChildProcess(command, folder / "log", environment=environment)
    return Node(name, process, http_port, grpc_port, metrics_port)
