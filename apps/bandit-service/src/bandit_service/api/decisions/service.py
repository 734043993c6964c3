"""Decide, issue the id, and have the event committed before the answer leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from bandit_service.api.decisions.intake import Intake
from bandit_service.api.decisions.schemas import (
    ActivateRequest,
    ActivateResponse,
    SelectRequest,
    SelectResponse,
    SlateArm,
)
from bandit_service.api.decisions.tickets import Tickets, remembered
from bandit_service.domain.api_key import Principal
from bandit_service.domain.decision_id import DecisionIds, Place, Ticket, is_signed
from bandit_service.domain.event import Circumstances, EventRecord, Stratum
from bandit_service.domain.problems import Conflict, Expired, Invalid, Unavailable
from bandit_service.domain.units import hashed_unit
from bandit_service.events.operations import DUPLICATE, LATE, UNRECORDED, Activate, Counter, Decide
from bandit_service.metrics import Metrics
from bandit_service.serving.choice import Choice, Demand, DemandError
from bandit_service.serving.chooser import Chooser
from bandit_service.serving.serving import NoWeightsError, Serving
from bandit_service.serving.uniforms import Uniforms

_encode = msgspec.json.Encoder().encode


class Begun(NamedTuple):
    """A decision that was handed in; without a future there was no room for it.

    `later` are the futures of a slate's later positions.
    """

    request: SelectRequest
    serving: Serving
    choice: Choice
    decision_id: str
    future: asyncio.Future[int] | None
    later: tuple[asyncio.Future[int] | None, ...] = ()


class Decisions:
    """Answers /select and /activate."""

    def __init__(
        self,
        *,
        intake: Intake,
        tickets: Tickets,
        ids: DecisionIds,
        uniforms: Uniforms,
        chooser: Chooser,
        clock: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._intake = intake
        self._tickets = tickets
        self._ids = ids
        self._uniforms = uniforms
        self._chooser = chooser
        self._clock = clock
        self._metrics = metrics

    async def select(self, request: SelectRequest, principal: Principal) -> SelectResponse:
        """Choose an arm for a request and record the decision.

        Raises:
            NotFound, Conflict (archived), Invalid (a missing unit_id), Unavailable (no weights known yet).
        """
        return await self.finish(await self.begin(request, principal))

    async def begin(self, request: SelectRequest, principal: Principal) -> Begun:
        """Choose, and hand the decision in without waiting for it, so that a batch shares one commit."""
        serving = await self._intake.serving(request.experiment_id, principal)
        _check(request, serving)
        choice = self._choose(request, serving)
        ticket = Ticket(
            experiment_id=request.experiment_id,
            arm_index=choice.arm.index,
            propensity=choice.propensity,
            decision_ms=round(self._clock() * 1_000),
            stratum=choice.stratum,
            deferred=request.defer_activation,
            weights_version=serving.weights_version,
            vector=choice.vector,
            segment=choice.segment,
            slate=choice.slate,
        )
        decision_id = request.decision_id or self._ids.issue(ticket)
        operations = _operations(decision_id, request, ticket, choice, serving)
        first, *later = [self._intake.try_submit(operation, serving) for operation in operations]
        if first is None:
            self._metrics.dropped.inc()
        return Begun(request, serving, choice, decision_id, first, tuple(later))

    async def finish(self, begun: Begun) -> SelectResponse:
        """Wait until the decision is recorded, or cannot be for now."""
        request, serving, choice, decision_id, future, later = begun
        outcome = await future if future is not None else UNRECORDED
        for another in later:
            if another is None or await another == UNRECORDED:
                outcome = UNRECORDED
        if outcome == DUPLICATE and request.decision_id is not None:
            return await self._again(request.decision_id, serving)
        self._metrics.decided(serving.experiment.id, choice.arm.id, choice.stratum)
        return _response(decision_id, serving, choice, recorded=outcome != UNRECORDED)

    async def activate(self, request: ActivateRequest, principal: Principal) -> ActivateResponse:
        """Count a deferred decision from now on.

        Raises:
            NotFound, Conflict (it was not deferred), Expired (its window is over), Unavailable (the store is away).
        """
        ticket, serving = await self._tickets.find(request.decision_id, request.experiment_id, principal)
        if not ticket.deferred:
            raise Conflict("the decision was not asked for with defer_activation, so it counts already")
        deadline_ms = ticket.decision_ms + serving.reward_window_ms
        waits = ticket.stratum == "bandit" and serving.experiment.missing_reward == "zero"
        operation = Activate(
            _record(request.decision_id, ticket, event_ms=round(self._clock() * 1_000)),
            counter=_counter(ticket.stratum),
            deadline_ms=deadline_ms,
            closes_ms=deadline_ms if waits else None,
            segment=ticket.segment,
            needs_context=waits and serving.experiment.is_contextual,
        )
        outcome = await self._intake.outcome(self._intake.submit(operation, serving))
        if outcome == LATE:
            raise Expired("the decision's reward window is over, so it can no longer be activated")
        return ActivateResponse(
            status="duplicate" if outcome == DUPLICATE else "activated",
            decision_id=request.decision_id,
            experiment_id=serving.experiment.id,
        )

    def _choose(self, request: SelectRequest, serving: Serving) -> Choice:
        try:
            if request.is_plain and serving.draws_from_published:
                return serving.choose(request.unit_id, self._uniforms.next())
            return self._chooser.choose(serving, _demand(request), request.unit_id)
        except NoWeightsError:
            raise Unavailable(f"experiment {request.experiment_id!r} has no weights yet", retry_after=1) from None
        except DemandError as error:
            raise Invalid.field(error.field, error.message) from None

    async def _again(self, decision_id: str, serving: Serving) -> SelectResponse:
        """Answer a repeated /select with the decision that was made the first time."""
        ticket, serving = await self._tickets.own(decision_id, serving)
        arm = serving.experiment.arms[ticket.arm_index]
        return _response(
            decision_id,
            serving,
            Choice(arm, ticket.propensity, ticket.stratum, ticket.vector, ticket.segment),
            recorded=True,
            weights_version=ticket.weights_version,
        )


def _demand(request: SelectRequest) -> Demand:
    return Demand(
        request.context,
        request.k,
        None if request.eligible_arms is None else frozenset(request.eligible_arms),
        frozenset(request.exclude_arms or ()),
    )


def _operations(
    decision_id: str, request: SelectRequest, ticket: Ticket, choice: Choice, serving: Serving
) -> list[Decide]:
    """Return the events of a decision: one, or one for each position of a slate."""
    experiment = serving.experiment
    closes = ticket.stratum == "bandit" and not ticket.deferred and experiment.missing_reward == "zero"
    unit = None if request.unit_id is None else hashed_unit(request.unit_id, experiment.unit_salt)
    record = _record(decision_id, ticket, event_ms=ticket.decision_ms, unit_hash=unit)
    circumstances = _circumstances(choice, serving)
    if circumstances is not None:
        record = replace(record, circumstances=circumstances)
    kept = experiment.is_contextual and ticket.stratum == "bandit" and choice.context is not None
    first = Decide(
        record,
        counter="" if ticket.deferred else _counter(ticket.stratum),
        closes_ms=ticket.decision_ms + serving.reward_window_ms if closes else None,
        own_record=None if request.decision_id is None else remembered(ticket),
        remembers_unit=experiment.assignment == "sticky" and ticket.stratum == "bandit",
        kept_context=_encode(choice.context) if kept else None,
        segment=ticket.segment,
    )
    return [first, *(_at_position(first, position, place) for position, place in enumerate(ticket.slate) if position)]


def _at_position(first: Decide, position: int, place: Place) -> Decide:
    """Return the event of a later position of a slate: the unit and the context stand with the first."""
    record = replace(
        first.record, arm_index=place.arm_index, propensity=place.propensity, position=position, unit_hash=None
    )
    return Decide(record, counter=first.counter, closes_ms=first.closes_ms)


def _circumstances(choice: Choice, serving: Serving) -> Circumstances | None:
    if choice.vector == "published" and choice.segment is None and choice.context is None:
        return None
    segment = None if choice.segment is None else serving.segmentation.names[choice.segment]
    return Circumstances(choice.vector, segment, choice.slate_propensity, choice.context)


def _check(request: SelectRequest, serving: Serving) -> None:
    experiment = serving.experiment
    if experiment.status == "archived":
        raise Conflict(f"experiment {experiment.id!r} is archived")
    if request.unit_id is None and (experiment.assignment == "sticky" or experiment.holdout > 0):
        raise Invalid.field("unit_id", "needed: the experiment assigns units, by sticky assignment or a holdout")
    if request.decision_id is not None and is_signed(request.decision_id):
        raise Invalid.field("decision_id", "ids of your own must not begin like the service's")
    if request.k > 1 and request.decision_id is not None:
        raise Invalid.field("decision_id", "a slate has an id of the service's: leave yours out")
    if request.k > 1 and request.defer_activation:
        raise Invalid.field("defer_activation", "a slate counts from the start: it cannot be deferred")


def _counter(stratum: Stratum) -> Counter:
    match stratum:
        case "bandit":
            return "d:"
        case "holdout":
            return "hd:"
        case _:
            return ""


def _record(decision_id: str, ticket: Ticket, *, event_ms: int, unit_hash: str | None = None) -> EventRecord:
    return EventRecord(
        decision_id,
        ticket.decision_ms,
        event_ms,
        ticket.arm_index,
        ticket.stratum,
        ticket.propensity,
        None,
        ticket.weights_version,
        ticket.deferred,
        unit_hash,
    )


def _response(
    decision_id: str, serving: Serving, choice: Choice, *, recorded: bool, weights_version: int | None = None
) -> SelectResponse:
    return SelectResponse(
        decision_id=decision_id,
        experiment_id=serving.experiment.id,
        arm=choice.arm.id,
        arm_index=choice.arm.index,
        propensity=choice.propensity,
        weights_version=serving.weights_version if weights_version is None else weights_version,
        stratum=choice.stratum,
        recorded=recorded,
        vector=choice.vector,
        segment=None if choice.segment is None else serving.segmentation.names[choice.segment],
        slate=_slate(choice, serving) if choice.slate else None,
        slate_propensity=choice.slate_propensity,
    )


def _slate(choice: Choice, serving: Serving) -> tuple[SlateArm, ...]:
    arms = serving.experiment.arms
    return tuple(
        SlateArm(arm=arms[place.arm_index].id, arm_index=place.arm_index, propensity=place.propensity)
        for place in choice.slate
    )
