"""What is known of a decision that was made earlier: read from its signed id, or remembered by the store."""

from __future__ import annotations

import msgspec

from bandit_service.api.decisions.intake import Intake
from bandit_service.domain.api_key import Principal
from bandit_service.domain.decision_id import DecisionIds, ForgedDecisionIdError, Ticket, is_signed
from bandit_service.domain.own_decision import OwnDecision
from bandit_service.domain.problems import Invalid, NotFound, Unavailable
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.redis_store.errors import StoreUnavailableError
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.store import RedisStore
from bandit_service.serving.directory import Directory
from bandit_service.serving.serving import Serving

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(OwnDecision).decode


class Tickets:
    """Finds the ticket of a decision, with the experiment as it is served."""

    def __init__(self, *, intake: Intake, ids: DecisionIds, directory: Directory, store: RedisStore) -> None:
        self._intake = intake
        self._ids = ids
        self._directory = directory
        self._store = store

    async def find(self, decision_id: str, experiment_id: str | None, principal: Principal) -> tuple[Ticket, Serving]:
        """Return what is known of a decision and its experiment.

        Raises:
            NotFound: nobody knows the decision; Invalid: a caller's own id without its experiment; Unavailable: whether
                there is such a decision cannot be said now.
        """
        if is_signed(decision_id):
            ticket = self._signed(decision_id)
            if experiment_id not in (None, ticket.experiment_id):
                raise Invalid.field("experiment_id", "the decision belongs to another experiment")
            serving = await self._intake.serving(ticket.experiment_id, principal)
            return ticket, await self._with_arm(serving, ticket.arm_index)
        if experiment_id is None:
            raise Invalid.field("experiment_id", "needed with a decision id of your own")
        return await self.own(decision_id, await self._intake.serving(experiment_id, principal))

    async def own(self, decision_id: str, serving: Serving) -> tuple[Ticket, Serving]:
        """Return what the store remembers of a decision that carries its caller's own id.

        Raises:
            NotFound: there is none; Unavailable: whether there is cannot be said now.
        """
        experiment_id = serving.experiment.id
        epoch = self._intake.lane(serving).epoch
        try:
            value = await self._store.get(ExperimentKeys(experiment_id).own_decision(decision_id))
            stamp, _, record = (value or "").partition("|")
            if stamp != str(epoch):
                await self._check_complete(serving, epoch)
                raise NotFound(f"there is no decision {decision_id!r} in experiment {experiment_id!r}")
        except StoreUnavailableError:
            raise Unavailable("the store does not answer", retry_after=1) from None
        own = _decode(record)
        ticket = Ticket(
            experiment_id=experiment_id,
            arm_index=own.arm_index,
            propensity=own.propensity,
            decision_ms=own.decision_ms,
            stratum=own.stratum,
            deferred=own.deferred,
            weights_version=own.weights_version,
            vector=own.vector,
            segment=own.segment,
        )
        return ticket, await self._with_arm(serving, ticket.arm_index)

    def _signed(self, decision_id: str) -> Ticket:
        try:
            return self._ids.read(decision_id)
        except ForgedDecisionIdError as error:
            raise NotFound(str(error)) from None

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

    async def _check_complete(self, serving: Serving, epoch: int | None) -> None:
        """Return if what the store lacks does not exist: a store that was emptied may merely have forgotten it.

        Raises:
            Unavailable: it is to be refilled, is being refilled, or was since this process last looked.
        """
        head = await self._store.head(serving.experiment.id)
        if head.epoch is None or head.epoch != epoch:
            raise Unavailable("the store is being refilled from Postgres", retry_after=1)
        await self._intake.check_remembers(serving)


def remembered(ticket: Ticket) -> bytes:
    """Return what the store is to remember of a decision that carries its caller's own id."""
    return _encode(
        OwnDecision(
            arm_index=ticket.arm_index,
            propensity=ticket.propensity,
            decision_ms=ticket.decision_ms,
            stratum=ticket.stratum,
            deferred=ticket.deferred,
            weights_version=ticket.weights_version,
            vector=ticket.vector,
            segment=ticket.segment,
        )
    )
