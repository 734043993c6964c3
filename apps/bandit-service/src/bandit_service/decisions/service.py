"""Decide, issue the id, and have the event committed before the answer leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from bandit_service.auth import Principal
from bandit_service.decisions.decision_id import DecisionIds, ForgedDecisionIdError, Ticket, is_signed
from bandit_service.decisions.directory import Directory
from bandit_service.decisions.schemas import (
    ActivateRequest,
    ActivateResponse,
    OwnDecision,
    SelectRequest,
    SelectResponse,
)
from bandit_service.decisions.serving import Choice, NoWeightsError, Serving
from bandit_service.decisions.uniforms import Uniforms
from bandit_service.events.committer import Committer, QueueFullError
from bandit_service.events.lane import Lane
from bandit_service.events.operations import DUPLICATE, LATE, UNRECORDED, Activate, Counter, Decide, Operation
from bandit_service.events.record import EventRecord, Stratum
from bandit_service.metrics import Metrics
from bandit_service.postgres_store.errors import PostgresUnavailableError
from bandit_service.problems import Conflict, Expired, Invalid, NotFound, TooMany, Unavailable
from bandit_service.redis_store.errors import StoreUnavailableError
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.store import RedisStore

_OPENING_SECONDS = 1.0
_encode_own = msgspec.json.Encoder().encode
_decode_own = msgspec.json.Decoder(OwnDecision).decode


class Begun(NamedTuple):
    """A decision that was handed in; without a future there was no room for it."""

    request: SelectRequest
    serving: Serving
    choice: Choice
    decision_id: str
    future: asyncio.Future[int] | None


class Decisions:
    """Answers /select and /activate, and finds the ticket of a decision for its reward."""

    def __init__(
        self,
        *,
        directory: Directory,
        store: RedisStore,
        committer: Committer,
        ids: DecisionIds,
        uniforms: Uniforms,
        clock: Callable[[], float],
        metrics: Metrics,
        settled: Callable[[Lane], Awaitable[None]],
    ) -> None:
        self._settled = settled
        self._directory = directory
        self._store = store
        self._committer = committer
        self._ids = ids
        self._uniforms = uniforms
        self._clock = clock
        self._metrics = metrics

    async def serving(self, experiment_id: str, principal: Principal) -> Serving:
        """Return the experiment if the caller may use it.

        Raises:
            NotFound: there is none of that id, or it belongs to a namespace the key may not see.
        """
        serving = self._directory.get(experiment_id) or await self._open(experiment_id)
        if serving is None or not principal.sees(serving.experiment.namespace):
            raise NotFound(f"there is no experiment {experiment_id!r}")
        return serving

    async def _open(self, experiment_id: str) -> Serving | None:
        """Bring an experiment into memory, and let its queue find out where the store stands, before its first use."""
        try:
            serving = await self._directory.find(experiment_id)
        except PostgresUnavailableError:
            raise Unavailable("neither the store nor Postgres can be asked for the experiment", retry_after=1) from None
        if serving is not None:
            await asyncio.wait([asyncio.ensure_future(self._settled(self.lane(serving)))], timeout=_OPENING_SECONDS)
        return serving

    async def select(self, request: SelectRequest, principal: Principal) -> SelectResponse:
        """Choose an arm for a request and record the decision.

        Raises:
            NotFound, Conflict (archived), Invalid (a missing unit_id), Unavailable (no weights known yet).
        """
        return await self.finish(self.begin(request, await self.serving(request.experiment_id, principal)))

    def begin(self, request: SelectRequest, serving: Serving) -> Begun:
        """Choose, and hand the decision in without waiting, so that a batch shares one commit."""
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
        future = self._submit(_operation(decision_id, request, ticket, serving), serving)
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
        ticket, serving = await self.ticket(request.decision_id, request.experiment_id, principal)
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
        outcome = await self.outcome(self.submit(operation, serving))
        if outcome == LATE:
            raise Expired("the decision's reward window is over, so it can no longer be activated")
        return ActivateResponse(
            status="duplicate" if outcome == DUPLICATE else "activated",
            decision_id=request.decision_id,
            experiment_id=serving.experiment.id,
        )

    async def ticket(self, decision_id: str, experiment_id: str | None, principal: Principal) -> tuple[Ticket, Serving]:
        """Return what is known of a decision and its experiment.

        Raises:
            NotFound: nobody knows the decision; Invalid: a caller's own id without its experiment; Unavailable: whether
                there is such a decision cannot be said now.
        """
        if is_signed(decision_id):
            ticket = self._signed_ticket(decision_id)
            if experiment_id not in (None, ticket.experiment_id):
                raise Invalid.field("experiment_id", "the decision belongs to another experiment")
            serving = await self.serving(ticket.experiment_id, principal)
        elif experiment_id is None:
            raise Invalid.field("experiment_id", "needed with a decision id of your own")
        else:
            serving = await self.serving(experiment_id, principal)
            ticket = await self._own_ticket(decision_id, serving)
        return ticket, await self._with_arm(serving, ticket.arm_index)

    def submit(self, operation: Operation, serving: Serving) -> asyncio.Future[int]:
        """Hand in an operation whose caller must know the outcome.

        Raises:
            TooMany: more waits for the store than this process may hold.
        """
        try:
            return self._committer.submit(self.lane(serving), operation)
        except QueueFullError:
            raise TooMany("too much waits for the store; try again later", retry_after=1) from None

    async def outcome(self, future: asyncio.Future[int]) -> int:
        """Return what became of an operation.

        Raises:
            Unavailable: the store does not answer; nothing is promised about the operation.
        """
        outcome = await future
        if outcome == UNRECORDED:
            raise Unavailable("the store does not answer", retry_after=1)
        return outcome

    def check_recovered(self, serving: Serving) -> None:
        """Return if what the store does not know did not happen.

        Raises:
            Unavailable: another process may still have to tell the store again what it had forgotten.
        """
        if self.lane(serving).recovering:
            raise Unavailable("the store is being refilled", retry_after=1)

    def lane(self, serving: Serving) -> Lane:
        return self._committer.lane(serving.experiment.id, serving.experiment.reward_window)

    def _submit(self, operation: Operation, serving: Serving) -> asyncio.Future[int] | None:
        try:
            return self._committer.submit(self.lane(serving), operation)
        except QueueFullError:
            self._metrics.dropped.inc()
            return None

    async def _again(self, decision_id: str, serving: Serving) -> SelectResponse:
        """Answer a repeated /select with the decision that was made the first time."""
        ticket = await self._own_ticket(decision_id, serving)
        serving = await self._with_arm(serving, ticket.arm_index)
        arm = serving.experiment.arms[ticket.arm_index]
        return _response(
            decision_id,
            serving,
            Choice(arm, ticket.propensity, ticket.stratum),
            recorded=True,
            weights_version=ticket.weights_version,
        )

    async def _with_arm(self, serving: Serving, arm_index: int) -> Serving:
        """Return the experiment with that arm: it may have joined since this process last looked.

        Raises:
            Unavailable: the newer definition cannot be had yet.
        """
        if arm_index < len(serving.experiment.arms):
            return serving
        try:
            newer = await self._directory.refresh(serving.experiment.id)
        except (StoreUnavailableError, PostgresUnavailableError):
            newer = None
        if newer is None or arm_index >= len(newer.experiment.arms):
            raise Unavailable("the decision's arm is not known here yet", retry_after=1)
        return newer

    def _signed_ticket(self, decision_id: str) -> Ticket:
        try:
            return self._ids.read(decision_id)
        except ForgedDecisionIdError as error:
            raise NotFound(str(error)) from None

    async def _own_ticket(self, decision_id: str, serving: Serving) -> Ticket:
        experiment_id = serving.experiment.id
        epoch = self.lane(serving).epoch
        try:
            value = await self._store.get(ExperimentKeys(experiment_id).own_decision(decision_id))
            stamp, _, record = (value or "").partition("|")
            if stamp != str(epoch):
                await self._check_complete(serving, epoch)
                raise NotFound(f"there is no decision {decision_id!r} in experiment {experiment_id!r}")
        except StoreUnavailableError:
            raise Unavailable("the store does not answer", retry_after=1) from None
        own = _decode_own(record)
        return Ticket(
            experiment_id=experiment_id,
            arm_index=own.arm_index,
            propensity=own.propensity,
            decision_ms=own.decision_ms,
            stratum=own.stratum,
            deferred=own.deferred,
            weights_version=own.weights_version,
        )

    async def _check_complete(self, serving: Serving, epoch: int | None) -> None:
        """Return if what the store lacks does not exist: a store that was emptied may merely have forgotten it.

        Raises:
            Unavailable: it is to be refilled, is being refilled, or was since this process last looked.
        """
        self.check_recovered(serving)
        head = await self._store.head(serving.experiment.id)
        if head.epoch is None or head.epoch != epoch:
            raise Unavailable("the store is being refilled from Postgres", retry_after=1)


def _operation(decision_id: str, request: SelectRequest, ticket: Ticket, serving: Serving) -> Decide:
    experiment = serving.experiment
    closes = ticket.stratum == "bandit" and not ticket.deferred and experiment.missing_reward == "zero"
    unit = None if request.unit_id is None else hashed_unit(request.unit_id, experiment.unit_salt)
    return Decide(
        _record(decision_id, ticket, event_ms=ticket.decision_ms, unit_hash=unit),
        counter="" if ticket.deferred else _counter(ticket.stratum),
        closes_ms=ticket.decision_ms + serving.reward_window_ms if closes else None,
        own_record=None if request.decision_id is None else _own_record(ticket),
        remembers_unit=experiment.assignment == "sticky" and ticket.stratum == "bandit",
    )


def _own_record(ticket: Ticket) -> bytes:
    return _encode_own(
        OwnDecision(
            arm_index=ticket.arm_index,
            propensity=ticket.propensity,
            decision_ms=ticket.decision_ms,
            stratum=ticket.stratum,
            deferred=ticket.deferred,
            weights_version=ticket.weights_version,
        )
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
