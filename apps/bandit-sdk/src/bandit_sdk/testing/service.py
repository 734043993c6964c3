"""bandit-service in the memory of a test: an httpx transport that decides and learns, and needs no network."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import httpx
import msgspec
import numpy as np

from bandit_core.rules import transitions
from bandit_core.rules.arm_selector import ArmSelector
from bandit_core.rules.decisions import SIGNED_PREFIX, check_same_experiment, experiment_of_own, is_signed
from bandit_core.rules.decoding import decode_item
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.experiment_requests import (
    Absence,
    Because,
    ConclusionRequest,
    ExperimentChange,
    NewArm,
    NewExperiment,
    read,
)
from bandit_core.rules.messages import NOT_JSON
from bandit_core.rules.planning import PlanRequest, plan_report
from bandit_core.rules.problems import Conflict, Invalid, NotFound, Problem
from bandit_core.rules.records import EvaluationRequest, SnapshotRequest, evaluation_report
from bandit_core.rules.requests import (
    HTTP_STATUS,
    ActivateRequest,
    ActivateResponse,
    BatchItem,
    BatchRequest,
    RewardRequest,
    RewardResponse,
    SelectRequest,
    SelectResponse,
)
from bandit_core.rules.rewards import check_reward
from bandit_core.rules.views import ExperimentPage, ExperimentSummary, ExperimentView
from bandit_sdk.testing import views
from bandit_sdk.testing.experiment import MemoryExperiment

_ITEM = re.compile(r"/experiments/([^/]+)(?:/(.+))?", re.DOTALL)

# Changes by method and what follows the experiment in the path: the body, and what becomes of the experiment.
_CHANGES: Final[Mapping[tuple[str, str], tuple[type[Because], Callable[[Experiment, Any, str], Experiment]]]] = {
    ("PATCH", ""): (ExperimentChange, lambda before, body, _: transitions.changed(before, body)),
    ("POST", "pause"): (Because, lambda before, *_: transitions.paused(before)),
    ("POST", "resume"): (Because, lambda before, *_: transitions.resumed(before)),
    ("POST", "arms"): (NewArm, lambda before, body, _: transitions.with_arm(before, body)),
    ("POST", "arms/retire"): (Absence, lambda before, body, arm: transitions.without_arm(before, arm, body)),
    ("POST", "arms/pause"): (Absence, lambda before, body, arm: transitions.without_arm(before, arm, body, "paused")),
    ("POST", "arms/resume"): (Because, lambda before, _, arm: transitions.with_arm_back(before, arm)),
}


class InMemoryService(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """What `Client(url, transport=InMemoryService())` and `AsyncClient` talk to instead of the network.

    It draws from real posteriors by real policies within real guardrails, with exact propensities, and counts each
    reward once; what may be asked and who is eligible is decided by the service's own rules. New rewards move the
    weights with the next decision. It knows experiments and their arms, selections, rewards, activations, batches,
    posterior, allocation, snapshots, evaluations and plans. It checks no API keys. It has no contexts, segments,
    Gaussian rewards and stopping rules, no conclusion, report and list of changes, and no files kept in Git, and
    refuses them in words (422, 404). It is for one thread at a time.

    Args:
        rng: Draws the arms; give a seeded one to repeat a test.
        clock: Seconds since the epoch, for reward windows and cooldowns.

    Attributes:
        evaluations: What was kept, by the id and the data set that it was kept under.
        away: Set it to True, and nothing answers any more.
        queueing: Set it to True, and rewards are answered 202 `queued`, as by a service whose database is away. They
            count once it is False again.
    """

    def __init__(self, *, rng: np.random.Generator | None = None, clock: Callable[[], float] = time.time) -> None:
        self.evaluations: dict[tuple[str, str], EvaluationRequest] = {}
        self.away = False
        self.queueing = False
        self._queued: list[tuple[MemoryExperiment, RewardRequest, float]] = []
        generator = rng or np.random.default_rng()
        self._selector = ArmSelector(uniform=generator.random, generator=generator)
        self._clock = clock
        self._experiments: dict[str, MemoryExperiment] = {}
        self._ids = itertools.count(1)
        self._posts: dict[str, Callable[[bytes], tuple[int, Any]]] = {
            "/select": self._select,
            "/reward": self._reward,
            "/activate": self._activate,
            "/select/batch": lambda content: self._batch(content, self._select),
            "/reward/batch": lambda content: self._batch(content, self._reward),
            "/plan": lambda content: (200, plan_report(read(PlanRequest, _object(content)))),
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
        except Problem as problem:
            status, answer = problem.status, problem.details
        kind = "application/json" if status < 400 else "application/problem+json"
        return httpx.Response(status, content=msgspec.json.encode(answer), headers={"content-type": kind})

    def _routed(self, request: httpx.Request) -> tuple[int, Any]:
        method, path = request.method, request.url.path
        if method == "POST" and path in self._posts:
            return self._posts[path](request.content)
        if path == "/experiments" and method == "POST":
            return 201, self._create(_object(request.content))
        if path == "/experiments" and method == "GET":
            return 200, self._list(request.url.params)
        found = _ITEM.fullmatch(path)
        if found is not None:
            answer = self._managed(method, found[1], found[2] or "", request.content)
            if answer is not None:
                return answer
        raise NotFound(f"the service in memory does not answer {method} {path}")

    def _create(self, document: dict[str, Any]) -> ExperimentView:
        request = read(NewExperiment, document)
        made = MemoryExperiment(request, self._selector, self._clock())
        if request.experiment_id in self._experiments:
            raise Conflict(f"there is an experiment {request.experiment_id!r} already")
        self._experiments[request.experiment_id] = made
        return ExperimentView.of(made.experiment)

    def _list(self, wanted: httpx.QueryParams) -> ExperimentPage:
        filters = {name: wanted[name] for name in ("status", "namespace") if name in wanted}
        found = [self._experiments[name].experiment for name in sorted(self._experiments)]
        shown = [each for each in found if all(getattr(each, name) == value for name, value in filters.items())]
        return ExperimentPage(items=tuple(ExperimentSummary.of(each) for each in shown), next_cursor=None)

    def _managed(self, method: str, experiment_id: str, rest: str, content: bytes) -> tuple[int, Any] | None:
        now, (first, _, arm) = self._clock(), rest.partition("/")
        arm, _, action = arm.rpartition("/")
        view = f"{first}/{action}" if action else first
        # The service, too, refuses a wrong body before it looks for the experiment.
        if (method, view) in _CHANGES:
            kind, transition = _CHANGES[method, view]
            body = read(kind, _object(content))
            known = self._experiment(experiment_id)
            known.change(lambda before: transition(before, body, arm), body.expected_revision)
            return 201 if kind is NewArm else 200, ExperimentView.of(known.experiment)
        answer = self._about(method, experiment_id, view, content, now)
        return None if answer is None else (200, answer)

    def _about(self, method: str, experiment_id: str, view: str, content: bytes, now: float) -> Any:  # noqa: ANN401 (whatever becomes JSON)
        match method, view:
            case "POST", "evaluations":
                wanted = read(EvaluationRequest, _object(content))
                report = evaluation_report(experiment_id, wanted)
                self.evaluations[experiment_id, wanted.dataset] = wanted
                return report
            case "POST", "snapshots":
                return self._experiment(experiment_id).snapshot(read(SnapshotRequest, _object(content)), now)
            case "POST", "conclude":
                return self._concluded(experiment_id, read(ConclusionRequest, _object(content)), now)
            case "GET", "posterior":
                return views.posterior(self._experiment(experiment_id), now)
            case "GET", "allocation":
                return views.allocation(self._experiment(experiment_id), now)
            case "DELETE", "":
                known = self._experiment(experiment_id)
                known.change(transitions.archived)
                return ExperimentView.of(known.experiment)
            case "GET", "":
                return ExperimentView.of(self._experiment(experiment_id).experiment)
        return None

    def _concluded(self, experiment_id: str, wanted: ConclusionRequest, now: float) -> ExperimentView:
        known = self._experiment(experiment_id)
        transitions.check_conclusion(wanted)
        # There are no stopping rules here, so that none says so.
        if not wanted.by_rule:
            known.change(
                lambda before: transitions.concluded_as_asked(before, wanted, None, now, "memory"),
                wanted.expected_revision,
            )
        return ExperimentView.of(known.experiment)

    def _select(self, content: bytes) -> tuple[int, SelectResponse]:
        request = decode_item(SelectRequest, content)
        return 200, self._experiment(request.experiment_id).select(request, self._new_id, self._clock())

    def _reward(self, content: bytes) -> tuple[int, RewardResponse]:
        request, now = decode_item(RewardRequest, content), self._clock()
        check_reward(request)
        experiment = self._experiment_of(request.decision_id, request.experiment_id)
        answer = experiment.reward(request, now, is_queued=self.queueing)
        if self.queueing:
            self._queued.append((experiment, request, now))
        return HTTP_STATUS.get(answer.status, 200), answer

    def _count_queued(self) -> None:
        """Count what was queued, by the time at which it came."""
        while self._queued and not self.queueing:
            experiment, request, at = self._queued.pop(0)
            with suppress(Problem):  # the experiment was archived meanwhile
                experiment.reward(request, at)

    def _activate(self, content: bytes) -> tuple[int, ActivateResponse]:
        request = decode_item(ActivateRequest, content)
        experiment = self._experiment_of(request.decision_id, request.experiment_id)
        is_new = experiment.activate(request.decision_id, self._clock())
        return 200, ActivateResponse(
            status="activated" if is_new else "duplicate",
            decision_id=request.decision_id,
            experiment_id=experiment.experiment.id,
        )

    def _batch(self, content: bytes, answer: Callable[[bytes], tuple[int, Any]]) -> tuple[int, Any]:
        def answered(raw: msgspec.Raw) -> BatchItem:
            try:
                status, result = answer(bytes(raw))
            except Problem as problem:
                return BatchItem(problem.status, problem=problem.details)
            return BatchItem(status, result=result)

        return 200, {"items": [answered(raw) for raw in decode_item(BatchRequest, content).items]}

    def _experiment(self, name: str) -> MemoryExperiment:
        if name not in self._experiments:
            raise NotFound(f"there is no experiment {name!r}")
        return self._experiments[name]

    def _experiment_of(self, decision_id: str | None, name: str | None) -> MemoryExperiment:
        if decision_id is None or not is_signed(decision_id):
            return self._experiment(experiment_of_own(name))
        for experiment in self._experiments.values():
            if decision_id in experiment.decisions:
                check_same_experiment(experiment.decisions[decision_id].claims, name)
                return experiment
        raise NotFound("not a decision id of this service")

    def _new_id(self) -> str:
        return f"{SIGNED_PREFIX}memory{next(self._ids)}"


def _object(content: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise Invalid.field("body", f"not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise Invalid.field("body", NOT_JSON)
    return document
