"""Decide, issue the id, and have the decision recorded before the answer leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import msgspec

from bandit_service.api.decisions.events import activation_event, decision_events
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.api.decisions.own_ids import OwnIdDecisions
from bandit_service.api.decisions.recording import Recording
from bandit_service.api.decisions.request_ids import RequestIds
from bandit_service.api.decisions.resolver import DecisionResolver, claims_of
from bandit_service.api.decisions.schemas import (
    ActivateRequest,
    ActivateResponse,
    SelectRequest,
    SelectResponse,
    SlateArm,
)
from bandit_service.domain.api_key import Principal
from bandit_service.domain.decision_id import DecisionClaims, DecisionIds, ForgedDecisionIdError, is_signed
from bandit_service.domain.event import Event
from bandit_service.domain.own_decision import OwnDecision
from bandit_service.domain.problems import Conflict, Expired, Invalid, Unavailable
from bandit_service.domain.units import hashed_unit
from bandit_service.metrics import Metrics
from bandit_service.serving.arm_selector import ArmSelector
from bandit_service.serving.selection import Selection, SelectionError, SelectionRequest
from bandit_service.serving.served_experiment import NoWeightsError, ServedExperiment
from bandit_service.serving.uniform_stream import UniformStream
from bandit_service.spool.answers import Duplicate


class Begun(NamedTuple):
    """A decision that was handed in for recording.

    `own`: its id is the caller's, which may belong to another one. `answer`: its request has an id, to which another
    answer may have been given.
    """

    served: ServedExperiment
    choice: Selection
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
        uniforms: UniformStream,
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
        self._uniforms = uniforms
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
        served = await self._lookup.served(request.experiment_id, principal)
        _check(request, served)
        choice = self._choose(request, served)
        claims = DecisionClaims(
            experiment_id=request.experiment_id,
            arm_index=choice.arm.index,
            propensity=choice.propensity,
            decision_ms=round(self._clock() * 1_000),
            stratum=choice.stratum,
            deferred=request.defer_activation,
            weights_version=served.weights_version,
            revision=served.experiment.revision,
            vector=choice.vector,
            segment=choice.segment,
            slate=choice.slate,
        )
        decision_id = request.decision_id or self._ids.issue(claims)
        begun = Begun(served, choice, claims, decision_id)
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
        answer = _response(begun, recorded=is_recorded)
        self._count(begun)
        return answer

    async def activate(self, request: ActivateRequest, principal: Principal) -> ActivateResponse:
        """Count a deferred decision from now on.

        Raises:
            NotFound, Conflict (it was not deferred), Expired (its window is over), Unavailable (no store answers).
        """
        claims, served = await self._resolver.resolve(request.decision_id, request.experiment_id, principal)
        if not claims.deferred:
            raise Conflict("the decision was not asked for with defer_activation, so it counts already")
        now_ms = round(self._clock() * 1_000)
        if now_ms > claims.decision_ms + served.reward_window_ms:
            raise Expired("the decision's reward window is over, so it can no longer be activated")
        [answer] = await self._recording.decided(activation_event(request.decision_id, claims, served, now_ms))
        return ActivateResponse(
            status="duplicate" if isinstance(answer, Duplicate) else "activated",
            decision_id=request.decision_id,
            experiment_id=served.experiment.id,
        )

    def _choose(self, request: SelectRequest, served: ServedExperiment) -> Selection:
        try:
            if request.is_plain and served.draws_from_published:
                return served.choose(request.unit_id, self._uniforms.next())
            return self._arm_selector.choose(served, _selection_request(request), request.unit_id)
        except NoWeightsError:
            raise Unavailable(f"experiment {request.experiment_id!r} has no weights yet", retry_after=1) from None
        except SelectionError as error:
            raise Invalid.field(error.field, error.message) from None

    async def _again(self, decision_id: str, own: OwnDecision, served: ServedExperiment) -> SelectResponse:
        """Answer a repeated /select with the decision that was made the first time."""
        served = await self._lookup.with_arm(served, own.arm_index)
        arm = served.experiment.arms[own.arm_index]
        choice = Selection(arm, own.propensity, own.stratum, own.vector, own.segment)
        return _response(Begun(served, choice, claims_of(own, served.experiment.id), decision_id), recorded=True)

    async def _answered_once(self, request: SelectRequest, request_id: str, begun: Begun) -> SelectResponse:
        """Answer with a decision unless its request was answered before: then with the answer of that time.

        Whoever answers with a decision records it: the process that made it may have died before it could.
        """
        made = _response(begun, recorded=True)
        first = await self._request_ids.first(request_id, made)
        if first is not made:
            with suppress(ForgedDecisionIdError):
                claims = self._ids.read(first.decision_id)
                again = begun._replace(
                    claims=claims,
                    decision_id=first.decision_id,
                    choice=replace(begun.choice, slate_propensity=first.slate_propensity),
                )
                is_recorded = await self._recording.record(_events(request, again))
                return msgspec.structs.replace(first, recorded=is_recorded)
        is_recorded = await self._recording.record(_events(request, begun))
        self._count(begun)
        return msgspec.structs.replace(made, recorded=is_recorded)

    def _count(self, begun: Begun) -> None:
        self._metrics.decided(begun.served.experiment.id, begun.choice.arm.id, begun.choice.stratum)


def _selection_request(request: SelectRequest) -> SelectionRequest:
    return SelectionRequest(
        request.context,
        request.k,
        None if request.eligible_arms is None else frozenset(request.eligible_arms),
        frozenset(request.exclude_arms or ()),
    )


def _check(request: SelectRequest, served: ServedExperiment) -> None:
    experiment = served.experiment
    if experiment.status == "archived":
        raise Conflict(f"experiment {experiment.id!r} is archived")
    if request.unit_id is None and (experiment.assignment == "sticky" or experiment.holdout > 0):
        raise Invalid.field("unit_id", "needed: the experiment assigns units, by sticky assignment or a holdout")
    if request.decision_id is not None and is_signed(request.decision_id):
        raise Invalid.field("decision_id", "ids of your own must not begin like the service's")
    if request.decision_id is not None and request.request_id is not None:
        raise Invalid.field("request_id", "a decision_id of your own makes a retry the same decision already")
    if request.k > 1 and request.decision_id is not None:
        raise Invalid.field("decision_id", "a slate has an id of the service's: leave yours out")
    if request.k > 1 and request.defer_activation:
        raise Invalid.field("defer_activation", "a slate counts from the start: it cannot be deferred")


def _events(request: SelectRequest, begun: Begun) -> list[Event]:
    served, choice = begun.served, begun.choice
    return decision_events(
        begun.decision_id,
        begun.claims,
        served,
        unit_hash=None if request.unit_id is None else hashed_unit(request.unit_id, served.experiment.unit_salt),
        context=choice.context,
        slate_propensity=choice.slate_propensity,
    )


def _response(begun: Begun, *, recorded: bool) -> SelectResponse:
    served, choice = begun.served, begun.choice
    return SelectResponse(
        decision_id=begun.decision_id,
        experiment_id=served.experiment.id,
        arm=choice.arm.id,
        arm_index=choice.arm.index,
        propensity=choice.propensity,
        weights_version=begun.claims.weights_version,
        stratum=choice.stratum,
        recorded=recorded,
        vector=choice.vector,
        segment=None if choice.segment is None else served.segmentation.names[choice.segment],
        slate=_slate(choice, served) if choice.slate else None,
        slate_propensity=choice.slate_propensity,
    )


def _slate(choice: Selection, served: ServedExperiment) -> tuple[SlateArm, ...]:
    arms = served.experiment.arms
    return tuple(
        SlateArm(arm=arms[place.arm_index].id, arm_index=place.arm_index, propensity=place.propensity)
        for place in choice.slate
    )
