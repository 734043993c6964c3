"""Seldon's service orchestrator in small: its order of calls, its header, its routing injection.

What it does was read in the sources of SeldonIO/seldon-core: executor/predictor/predictor_process.go (predictChildren,
feedbackChildren, routing), executor/api/rest/middlewares.go (the header), executor/api/util (the route's integer).
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from bandit_local.servers.local_server import HOST

from .nodes import Node

PUID = "Seldon-Puid"


@dataclass(frozen=True)
class Prediction:
    """What a client gets, and which child it came from."""

    puid: str
    branch: int
    response: dict[str, Any]


class PanicError(Exception):
    """What the executor does with an answer of a router that it cannot use."""


class NodeError(Exception):
    """A node answered with an error, which the client gets to see."""

    def __init__(self, status: int, info: str) -> None:
        super().__init__(info)
        self.status = status


class Executor:
    """A graph of a router and its children, over REST."""

    def __init__(self, router: Node, children: list[Node]) -> None:
        self._router = router
        self._children = children

    def predict(self, message: dict[str, Any] | None = None, puid: str | None = None) -> Prediction:
        """Ask the router, then the child that it names."""
        puid = puid or str(uuid.uuid4())
        message = message or {"data": {"names": ["x"], "ndarray": [[1.0]]}}
        branch = _route(_post(self._router, "/route", message, puid))
        if not 0 <= branch < len(self._children):
            raise PanicError(f"index out of range [{branch}] with length {len(self._children)}")
        response = _post(self._children[branch], "/predict", message, puid)
        if "meta" in response:
            response["meta"]["routing"] = {self._router.name: branch}
        return Prediction(puid, branch, response)

    def feedback(self, response: dict[str, Any], reward: float, puid: str | None = None) -> dict[str, Any]:
        """Tell the children first, then the router; a child that fails hides the feedback from the router."""
        puid = puid or str(uuid.uuid4())
        message = {"response": response, "reward": reward}
        branch = response.get("meta", {}).get("routing", {}).get(self._router.name, -1)
        for child in self._children if branch == -1 else [self._children[branch]]:
            _post(child, "/send-feedback", message, puid)
        return _post(self._router, "/send-feedback", message, puid)


def _post(node: Node, path: str, message: dict[str, Any], puid: str) -> dict[str, Any]:
    connection = HTTPConnection(HOST, node.http_port, timeout=60)
    connection.request("POST", path, json.dumps(message), {"Content-Type": "application/json", PUID: puid})
    with connection.getresponse() as answer:
        body: dict[str, Any] = json.load(answer)
    connection.close()
    if answer.status != 200:
        raise NodeError(answer.status, body["status"]["info"])
    return body


def _route(message: dict[str, Any]) -> int:
    """Return the first value of a routing message, as the executor reads it."""
    data = message["data"]
    values = data["tensor"]["values"] if "tensor" in data else data["ndarray"]
    first = values[0][0] if isinstance(values[0], list) else values[0]
    return int(first)
