"""bandit-service in the memory of a test: an httpx transport that decides and learns, and needs no network."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import httpx
import msgspec
import numpy as np

from bandit_sdk.testing import views
from bandit_sdk.testing.bodies import Activate, Batch, Because, NewExperiment, Reward, Select, decode
from bandit_sdk.testing.experiment import MemoryExperiment
from bandit_sdk.testing.refusal import Refusal, wrong

_ITEM = re.compile(r"/experiments/([^/]+)(?:/([a-z]+))?")


class InMemoryService(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """What `Client(url, transport=InMemoryService())` and `AsyncClient` talk to instead of the network.

    It draws from real posteriors by real policies within real guardrails, with exact propensities, and counts each
    reward once. New rewards move the weights with the next decision. It knows experiments (create, get, list, pause,
    resume, conclude, archive), selections of one arm or a slate, eligible arms, rewards, activations, batches,
    posterior and allocation. It checks no API keys. It knows no contexts, segments, Gaussian rewards, sticky
    assignment, holdouts, stopping rules, snapshots and evaluations, and refuses them (422, 404). It is for one thread
    at a time.

    Args:
        rng: Draws the arms; give a seeded one to repeat a test.
        clock: Seconds since the epoch, for reward windows and cooldowns.

    Attributes:
        away: Set it to True, and nothing answers any more.
        queueing: Set it to True, and rewards are answered 202 `queued`, as by a service whose database is away. They
            count once it is False again.
    """

    def __init__(self, *, rng: np.random.Generator | None = None, clock: Callable[[], float] = time.time) -> None:
        self.away = False
        self.queueing = False
        self._queued: list[tuple[MemoryExperiment, Reward, float]] = []
        self._rng = rng or np.random.default_rng()
        self._clock = clock
        self._experiments: dict[str, MemoryExperiment] = {}
        self._ids = itertools.count(1)
        self._posts: dict[str, Callable[[bytes], tuple[int, dict[str, Any]]]] = {
            "/select": self._select,
            "/reward": self._reward,
            "/activate": self._activate,
            "/select/batch": lambda content: self._batch(content, self._select),
            "/reward/batch": lambda content: self._batch(content, self._reward),
        }

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._answer(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("the service in memory is away", request=request)
        try:
            self._count_queued()
            status, answer = self._routed(request)
        except Refusal as refusal:
            status, answer = refusal.status, refusal.document()
        kind = "application/json" if status < 400 else "application/problem+json"
        return httpx.Response(status, content=msgspec.json.encode(answer), headers={"content-type": kind})

    def _routed(self, request: httpx.Request) -> tuple[int, Any]:
        method, path = request.method, request.url.path
        if method == "POST" and path in self._posts:
            return self._posts[path](request.content)
        if path == "/experiments" and method == "POST":
            return 201, self._create(decode(NewExperiment, request.content))
        if path == "/experiments" and method == "GET":
            return 200, self._list(request.url.params)
        found = _ITEM.fullmatch(path)
        if found is not None:
            answer = self._managed(method, self._experiment(found[1]), found[2], request)
            if answer is not None:
                return 200, answer
        raise Refusal(404, f"the service in memory does not answer {method} {path}")

    def _create(self, definition: NewExperiment) -> dict[str, Any]:
        if definition.experiment_id in self._experiments:
            raise Refusal(409, f"there is an experiment {definition.experiment_id!r} already")
        made = self._experiments[definition.experiment_id] = MemoryExperiment(definition, self._clock())
        return views.whole(made)

    def _list(self, wanted: httpx.QueryParams) -> dict[str, Any]:
        shown = [views.summary(self._experiments[name]) for name in sorted(self._experiments)]
        filters = {name: wanted[name] for name in ("status", "namespace") if name in wanted}
        return {"items": [each for each in shown if filters.items() <= each.items()], "next_cursor": None}

    def _managed(self, method: str, experiment: MemoryExperiment, view: str | None, request: httpx.Request) -> Any:  # noqa: ANN401 (whatever becomes JSON)
        match method, view:
            case "GET", None:
                return views.whole(experiment)
            case "GET", "posterior":
                return views.posterior(experiment, self._clock())
            case "GET", "allocation":
                return views.allocation(experiment, self._clock())
            case "DELETE", None:
                experiment.change("archived")
            case "POST", "pause":
                experiment.change("paused")
            case "POST", "resume":
                experiment.change("running")
            case "POST", "conclude":
                experiment.change("concluded", decode(Because, request.content).winner)
            case _:
                return None
        return views.whole(experiment)

    def _select(self, content: bytes) -> tuple[int, dict[str, Any]]:
        request = decode(Select, content)
        experiment = self._experiment(request.experiment_id)
        decision = experiment.select(request, self._rng, self._new_id, self._clock())
        return 200, views.selection(experiment, decision)

    def _reward(self, content: bytes) -> tuple[int, dict[str, Any]]:
        request, now = decode(Reward, content), self._clock()
        experiment = self._experiment_of(request.decision_id, request.experiment_id)
        if self.queueing:
            experiment.check_reward(request, now)
            self._queued.append((experiment, request, now))
            return 202, {"status": "queued"}
        status, arm, reward = experiment.reward(request, now)
        name = experiment.definition.experiment_id
        return 200, {
            "status": status,
            "experiment_id": name,
            "arm": arm,
            "decision_id": request.decision_id,
            "reward": reward,
        }

    def _count_queued(self) -> None:
        """Count what was queued, by the time at which it came."""
        while self._queued and not self.queueing:
            experiment, request, at = self._queued.pop(0)
            with suppress(Refusal):  # the experiment was archived meanwhile
                experiment.reward(request, at)

    def _activate(self, content: bytes) -> tuple[int, dict[str, Any]]:
        request = decode(Activate, content)
        experiment = self._experiment_of(request.decision_id, request.experiment_id)
        status = "activated" if experiment.activate(request.decision_id) else "duplicate"
        name = experiment.definition.experiment_id
        return 200, {"status": status, "experiment_id": name, "decision_id": request.decision_id}

    def _batch(
        self, content: bytes, answer: Callable[[bytes], tuple[int, dict[str, Any]]]
    ) -> tuple[int, dict[str, Any]]:
        def answered(raw: msgspec.Raw) -> dict[str, Any]:
            try:
                status, result = answer(bytes(raw))
            except Refusal as refusal:
                return {"status": refusal.status, "problem": refusal.document()}
            return {"status": status, "result": result}

        items: Sequence[msgspec.Raw] = decode(Batch, content).items
        return 200, {"items": [answered(raw) for raw in items]}

    def _experiment(self, name: str) -> MemoryExperiment:
        if name not in self._experiments:
            raise Refusal(404, f"there is no experiment {name!r}")
        return self._experiments[name]

    def _experiment_of(self, decision_id: str | None, name: str | None) -> MemoryExperiment:
        if name is not None:
            return self._experiment(name)
        if decision_id is None:
            raise wrong("experiment_id", "needed without a decision_id")
        for experiment in self._experiments.values():
            if decision_id in experiment.decisions:
                return experiment
        raise Refusal(404, f"there is no decision {decision_id!r}")

    def _new_id(self) -> str:
        return f"memory.{next(self._ids)}"
