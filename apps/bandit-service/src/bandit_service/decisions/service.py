"""Decide, issue the id, and have the event committed before the answer leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from bandit_service.auth import Principal
from bandit_service.decisions.decision_id import DecisionIds, Ticket, is_signed
from bandit_service.decisions.intake import Intake
from bandit_service.decisions.schemas import ActivateRequest, ActivateResponse, SelectRequest, SelectResponse
from bandit_service.decisions.serving import Choice, NoWeightsError, Serving
from bandit_service.decisions.tickets import Tickets, remembered
from bandit_service.decisions.uniforms import Uniforms
from bandit_service.events.operations import DUPLICATE, LATE, UNRECORDED, Activate, Counter, Decide
from bandit_service.events.record import EventRecord, Stratum
from bandit_service.metrics import Metrics
from bandit_service.problems import Conflict, Expired, Invalid, Unavailable


class Begun(NamedTuple):
    """A decision that was handed in; without a future there was no room for it."""

    request: SelectRequest
    serving: Serving
    choice: Choice
    decision_id: str
    future: asyncio.Future[int] | None


class Decisions:
    """Answers /select and /activate."""

    def __init__(
        self,
        *,
        intake: Intake,
        tickets: Tickets,
        ids: DecisionIds,
        uniforms: Uniforms,
        clock: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._intake = intake
        self._tickets = tickets
        self._ids = ids
        self._uniforms = uniforms
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
        try:
            choice = serving.choose(request.unit_id, self._uniforms.next())
        except NoWeightsError:
            raise Unavailable(f"experiment {request.experiment_id!r} has no weights yet", retry_after=1) from None
        ticket = Ticket(
            experiment_id=request.experiment_id,
            arm_index=choice.arm.index,
            propensity=choice.propensity,
            decision_ms=round(self._clock() * 1_000),
            stratum=choice.stratum,
            deferred=request.defer_activation,
            weights_version=serving.weights_version,
        )
        decision_id = request.decision_id or self._ids.issue(ticket)
        future = self._intake.try_submit(_operation(decision_id, request, ticket, serving), serving)
        if future is None:
            self._metrics.dropped.inc()
        return Begun(request, serving, choice, decision_id, future)

    async def finish(self, begun: Begun) -> SelectResponse:
        """Wait until the decision is recorded, or cannot be for now."""
        request, serving, choice, decision_id, future = begun
        outcome = await future if future is not None else UNRECORDED
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
        )
        outcome = await self._intake.outcome(self._intake.submit(operation, serving))
        if outcome == LATE:
            raise Expired("the decision's reward window is over, so it can no longer be activated")
        return ActivateResponse(
            status="duplicate" if outcome == DUPLICATE else "activated",
            decision_id=request.decision_id,
            experiment_id=serving.experiment.id,
        )

    async def _again(self, decision_id: str, serving: Serving) -> SelectResponse:
        """Answer a repeated /select with the decision that was made the first time."""
        ticket, serving = await self._tickets.own(decision_id, serving)
        arm = serving.experiment.arms[ticket.arm_index]
        return _response(
            decision_id,
            serving,
            Choice(arm, ticket.propensity, ticket.stratum),
            recorded=True,
            weights_version=ticket.weights_version,
        )


def _operation(decision_id: str, request: SelectRequest, ticket: Ticket, serving: Serving) -> Decide:
    experiment = serving.experiment
    closes = ticket.stratum == "bandit" and not ticket.deferred and experiment.missing_reward == "zero"
    unit = None if request.unit_id is None else hashed_unit(request.unit_id, experiment.unit_salt)
    return Decide(
        _record(decision_id, ticket, event_ms=ticket.decision_ms, unit_hash=unit),
        counter="" if ticket.deferred else _counter(ticket.stratum),
        closes_ms=ticket.decision_ms + serving.reward_window_ms if closes else None,
        own_record=None if request.decision_id is None else remembered(ticket),
        remembers_unit=experiment.assignment == "sticky" and ticket.stratum == "bandit",
    )


def hashed_unit(unit_id: str, salt: str) -> str:
    """Return the name a unit is stored under: a hash keyed by its namespace's salt."""
    return blake2b(unit_id.encode(), digest_size=16, key=bytes.fromhex(salt)).hexdigest()


def _check(request: SelectRequest, serving: Serving) -> None:
    experiment = serving.experiment
    if experiment.status == "archived":
        raise Conflict(f"experiment {experiment.id!r} is archived")
    if request.unit_id is None and (experiment.assignment == "sticky" or experiment.holdout > 0):
        raise Invalid.field("unit_id", "needed: the experiment assigns units, by sticky assignment or a holdout")
    if request.decision_id is not None and is_signed(request.decision_id):
        raise Invalid.field("decision_id", "ids of your own must not begin like the service's")


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
    )
