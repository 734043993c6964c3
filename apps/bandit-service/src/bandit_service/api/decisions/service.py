"""Decide, issue the id, and have the decision recorded before the answer leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from bandit_core.rules.arm_selector import ArmSelector
from bandit_core.rules.decisions import DecisionClaims, check_activation, check_select, claims_of, select_response
from bandit_core.rules.problems import OrProblem, Problem
from bandit_core.rules.requests import ActivateRequest, ActivateResponse, SelectRequest, SelectResponse
from bandit_core.rules.selection import Selection
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.api.decisions.events import activation_event, decision_events
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.api.decisions.own_ids import OwnIdDecisions
from bandit_service.api.decisions.recording import Recording
from bandit_service.api.decisions.request_ids import RequestIds
from bandit_service.api.decisions.resolver import DecisionResolver, claims_of_own
from bandit_service.domain.api_key import Principal
from bandit_service.domain.decision_id import DecisionIds, ForgedDecisionIdError
from bandit_service.domain.event import Event
from bandit_service.domain.own_decision import OwnDecision
from bandit_service.domain.units import hashed_unit
from bandit_service.metrics import Metrics
from bandit_service.spool.answers import Duplicate


class Begun(NamedTuple):
    """A decision that was handed in for recording.

    `own`: its id is the caller's, which may belong to another one. `answer`: its request has an id, to which another
    answer may have been given.
    """

    served: ServedExperiment
    selection: Selection
    claims: DecisionClaims
    decision_id: str
    recorded: asyncio.Future[bool] | None = None
    own: asyncio.Future[OwnDecision | None] | None = None
    answer: asyncio.Future[SelectResponse] | None = None


class Decisions:
    """Answers /select and /activate."""

    def __init__(
        self,
        *,
        lookup: ExperimentLookup,
        resolver: DecisionResolver,
        recording: Recording,
        own_ids: OwnIdDecisions,
        request_ids: RequestIds,
        ids: DecisionIds,
        arm_selector: ArmSelector,
        clock: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._lookup = lookup
        self._resolver = resolver
        self._recording = recording
        self._own_ids = own_ids
        self._request_ids = request_ids
        self._ids = ids
        self._arm_selector = arm_selector
        self._clock = clock
        self._metrics = metrics

    async def select(self, request: SelectRequest, principal: Principal) -> SelectResponse:
        """Choose an arm for a request and record the decision.

        Raises:
            NotFound, Conflict (archived), Invalid (a missing unit_id), Unavailable (no weights known yet).
        """
        return await self.finish(await self.begin(request, principal))

    async def begin(self, request: SelectRequest, principal: Principal) -> Begun:
        """Choose, and hand the decision in without waiting for it, so that a batch shares one command."""
        served = await self._open(request, principal)
        return self._handed_in(request, served, self._arm_selector.select(served, request))

    async def begin_all(
        self, requests: Sequence[OrProblem[SelectRequest]], principal: Principal
    ) -> list[OrProblem[Begun]]:
        """Begin the requests of a batch together; each has its own result, and what was refused stays so."""
        asked: list[OrProblem[tuple[ServedExperiment, SelectRequest]]] = []
        for request in requests:
            try:
                asked.append(
                    request if isinstance(request, Problem) else (await self._open(request, principal), request)
                )
            except Problem as problem:
                asked.append(problem)
        chosen = iter(self._arm_selector.select_all([each for each in asked if not isinstance(each, Problem)]))
        return [each if isinstance(each, Problem) else self._begun(*each, next(chosen)) for each in asked]

    def _begun(
        self, served: ServedExperiment, request: SelectRequest, chosen: OrProblem[Selection]
    ) -> OrProblem[Begun]:
        return chosen if isinstance(chosen, Problem) else self._handed_in(request, served, chosen)

    async def _open(self, request: SelectRequest, principal: Principal) -> ServedExperiment:
        served = await self._lookup.served(request.experiment_id, principal)
        check_select(request, served.experiment)
        return served

    def _handed_in(self, request: SelectRequest, served: ServedExperiment, selection: Selection) -> Begun:
        claims = claims_of(request, selection, served, round(self._clock() * 1_000))
        decision_id = request.decision_id or self._ids.issue(claims)
        begun = Begun(served, selection, claims, decision_id)
        if request.request_id is not None:
            return begun._replace(answer=asyncio.ensure_future(self._answered_once(request, request.request_id, begun)))
        events = _events(request, begun)
        if request.decision_id is not None:
            return begun._replace(own=asyncio.ensure_future(self._own_ids.decide(events[0], claims)))
        return begun._replace(recorded=self._recording.record(events))

    async def finish(self, begun: Begun) -> SelectResponse:
        """Wait until the decision is recorded, or cannot be for now."""
        if begun.answer is not None:
            return await begun.answer
        if begun.own is not None:
            outcome = await begun.own
            if isinstance(outcome, OwnDecision):
                return await self._again(begun.decision_id, outcome, begun.served)
        is_recorded = begun.recorded is None or await begun.recorded
        self._metrics.decided(begun.served.experiment.id, begun.selection.arm.id, begun.selection.stratum)
        return _response(begun, recorded=is_recorded)

    async def activate(self, request: ActivateRequest, principal: Principal) -> ActivateResponse:
        """Count a deferred decision from now on.

        Raises:
            NotFound, Conflict (it was not deferred), Expired (its window is over), Unavailable (no store answers).
        """
        claims, served = await self._resolver.resolve(request.decision_id, request.experiment_id, principal)
        now_ms = round(self._clock() * 1_000)
        check_activation(claims, served, now_ms)
        [answer] = await self._recording.decided(activation_event(request.decision_id, claims, served, now_ms))
        return ActivateResponse(
            status="duplicate" if isinstance(answer, Duplicate) else "activated",
            decision_id=request.decision_id,
            experiment_id=served.experiment.id,
        )

    async def _again(self, decision_id: str, own: OwnDecision, served: ServedExperiment) -> SelectResponse:
        """Answer a repeated /select with the decision that was made the first time."""
        served = await self._lookup.with_arm(served, own.arm_index)
        return select_response(decision_id, claims_of_own(own, served.experiment.id), served)

    async def _answered_once(self, request: SelectRequest, request_id: str, begun: Begun) -> SelectResponse:
        """Answer with a decision unless its request was answered before: then with the answer of that time.

        The process that answers with a decision records it: the process that made it may have died before it could.
        """
        made = _response(begun, recorded=True)
        first = await self._request_ids.first(request_id, made)
        if first is not made:
            with suppress(ForgedDecisionIdError):
                claims = self._ids.read(first.decision_id)
                again = begun._replace(
                    claims=claims,
                    decision_id=first.decision_id,
                    selection=msgspec.structs.replace(begun.selection, slate_propensity=first.slate_propensity),
                )
                is_recorded = await self._recording.record(_events(request, again))
                return msgspec.structs.replace(first, recorded=is_recorded)
        is_recorded = await self._recording.record(_events(request, begun))
        self._metrics.decided(begun.served.experiment.id, begun.selection.arm.id, begun.selection.stratum)
        return msgspec.structs.replace(made, recorded=is_recorded)


def _events(request: SelectRequest, begun: Begun) -> list[Event]:
    served, selection = begun.served, begun.selection
    return decision_events(
        begun.decision_id,
        begun.claims,
        served,
        unit_hash=None if request.unit_id is None else hashed_unit(request.unit_id, served.experiment.unit_salt),
        context=selection.context,
        slate_propensity=selection.slate_propensity,
    )


def _response(begun: Begun, *, recorded: bool) -> SelectResponse:
    slate_propensity = begun.selection.slate_propensity
    return select_response(
        begun.decision_id, begun.claims, begun.served, slate_propensity=slate_propensity, recorded=recorded
    )
