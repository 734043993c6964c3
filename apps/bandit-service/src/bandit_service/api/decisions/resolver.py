"""What is known of a decision that was made earlier: read from its signed id, or from the claim on its own id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bandit_core.rules.decisions import SIGNED_PREFIX, DecisionClaims, check_same_experiment, experiment_of_own
from bandit_core.rules.problems import NotFound, Unavailable
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.domain.api_key import Principal
from bandit_service.domain.decision_id import DecisionIds, ForgedDecisionIdError
from bandit_service.domain.event import decode_event
from bandit_service.domain.own_decision import OwnDecision, decode_own_decision, encode_own_decision
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.own_ids import OwnIdsRepository
from bandit_service.mirror.errors import StoreUnavailableError
from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.mirror.own_ids import OwnIds


class DecisionResolver:
    """Finds the claims of a decision, with its experiment as it is served.

    Args:
        lookup: Finds experiments.
        ids: Reads signed ids.
        claims: On own ids, in the store.
        repository: The same, in the ledger.
        is_store_whole: Asks the store whether it has lost nothing.
    """

    def __init__(
        self,
        *,
        lookup: ExperimentLookup,
        ids: DecisionIds,
        claims: OwnIds,
        repository: OwnIdsRepository,
        is_store_whole: Callable[[], Awaitable[bool]],
    ) -> None:
        self._lookup = lookup
        self._ids = ids
        self._claims = claims
        self._repository = repository
        self._is_store_whole = is_store_whole

    async def resolve(
        self, decision_id: str, experiment_id: str | None, principal: Principal
    ) -> tuple[DecisionClaims, ServedExperiment]:
        """Return what is known of a decision and its experiment.

        Raises:
            NotFound: the decision is unknown; Invalid: a caller's own id without its experiment; Unavailable: whether
                there is such a decision cannot be said now.
        """
        if decision_id.startswith(SIGNED_PREFIX):
            try:
                claims = self._ids.read(decision_id)
            except ForgedDecisionIdError as error:
                raise NotFound(str(error)) from None
            check_same_experiment(claims, experiment_id)
            served = await self._lookup.served(claims.experiment_id, principal)
            return claims, await self._lookup.with_arm(served, claims.arm_index)
        experiment_id = experiment_of_own(experiment_id)
        served = await self._lookup.served(experiment_id, principal)
        own = await self._own(decision_id, served)
        return claims_of_own(own, experiment_id), await self._lookup.with_arm(served, own.arm_index)

    async def _own(self, own_id: str, served: ServedExperiment) -> OwnDecision:
        """Read the claim on an own id from the ledger; from the store if the ledger does not have it yet, or is away.

        The store may hold the claim of a decision that has lost the id, until the ledger's winner overwrites it. Once
        it has lost claims, nothing overwrites that any more.
        """
        experiment_id = served.experiment.id
        try:
            claim, is_known = await self._repository.read(experiment_id, own_id), True
        except PostgresUnavailableError:
            claim, is_known = None, False
        if claim is None:
            claim = await self._in_store(experiment_id, own_id)
            is_said = is_known if claim is None else await self._is_store_whole()
            if not is_said:
                raise Unavailable("whether there is such a decision cannot be said now", retry_after=1)
        if claim is None:
            raise NotFound(f"there is no decision {own_id!r} in experiment {experiment_id!r}")
        return decode_own_decision(claim)

    async def _in_store(self, experiment_id: str, own_id: str) -> str | None:
        try:
            [found] = await self._claims.read([ExperimentKeys(experiment_id).own(own_id)])
        except StoreUnavailableError:
            return None
        return decode_event(found).claim if found else None


def claims_of_own(own: OwnDecision, experiment_id: str) -> DecisionClaims:
    """Return the claims of a decision under its caller's own id."""
    return DecisionClaims(
        experiment_id=experiment_id,
        arm_index=own.arm_index,
        propensity=own.propensity,
        decision_ms=own.decision_ms,
        stratum=own.stratum,
        deferred=own.deferred,
        weights_version=own.weights_version,
        revision=own.revision,
        vector=own.vector,
        segment=own.segment,
    )


def own_claim(claims: DecisionClaims) -> str:
    """Return the claim on an own id, as JSON text."""
    own = OwnDecision(
        arm_index=claims.arm_index,
        propensity=claims.propensity,
        decision_ms=claims.decision_ms,
        stratum=claims.stratum,
        deferred=claims.deferred,
        weights_version=claims.weights_version,
        revision=claims.revision,
        vector=claims.vector,
        segment=claims.segment,
    )
    return encode_own_decision(own).decode()
