"""A router of several processes, which gunicorn forks: each gets its own decisions, and no two draw the same name."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import psycopg

from bandit_local.servers.local_server import HOST

from .conftest import StartRouter
from .executor import PUID
from .nodes import Node

if TYPE_CHECKING:
    from conftest import Service

ARMS = tuple("abcdefgh")
WORKERS = 3
AT_ONCE = 6
NAMED = UNNAMED = 1_000


def route(node: Node, puid: str | None) -> int:
    connection = HTTPConnection(HOST, node.http_port, timeout=60)
    headers = {"Content-Type": "application/json"} | ({PUID: puid} if puid else {})
    connection.request("POST", "/route", json.dumps({"data": {"ndarray": [[1.0]]}}), headers)
    with connection.getresponse() as answer:
        body = json.load(answer)
    connection.close()
    assert answer.status == 200, body
    return int(body["data"]["ndarray"][0][0])


def decided(dsn: str, experiment: str) -> dict[str, int]:
    """Return the arms that the ledger has by the ids of their decisions."""
    with psycopg.connect(dsn) as connection:
        statement = "SELECT decision_id, arm_index FROM decisions_v1 WHERE experiment_id = %s"
        return dict(connection.execute(statement, [experiment]).fetchall())


def test_workers_get_their_own_decisions(
    start_router: StartRouter, service: Service, eventually: Callable[[Callable[[], object]], None]
) -> None:
    """Without a prediction's id the client makes up the request's: two that are alike would be one decision."""
    experiment = service.create(*ARMS)
    dsn = service.environment["BANDIT_POSTGRES_DSN"]
    names = [f"prediction-{number}" for number in range(NAMED)]
    with (
        start_router(experiment, workers=WORKERS, branches=len(ARMS)) as router,
        ThreadPoolExecutor(AT_ONCE) as callers,
    ):
        mixed = [each for name in names for each in (name, None)]
        branches = list(callers.map(lambda name: route(router, name), mixed))
        by_process = router.metric_by_process("bandit_router_routed_total")
    assert by_process.total() == NAMED + UNNAMED
    assert len(by_process) == WORKERS
    served = dict(zip(names, branches[::2], strict=True))
    eventually(lambda: len(decided(dsn, experiment)) >= NAMED + UNNAMED)
    found = decided(dsn, experiment)
    assert {name: found.pop(name) for name in names} == served
    assert len(found) == UNNAMED
    assert sorted(found.values()) == sorted(branches[1::2])
