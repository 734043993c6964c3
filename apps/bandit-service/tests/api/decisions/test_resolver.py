"""Which decision has an own id, when only the store can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from bandit_core.rules.decisions import DecisionClaims
from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_core.rules.problems import NotFound, Unavailable
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.api.decisions.resolver import DecisionResolver, own_claim
from bandit_service.domain.api_key import ANONYMOUS
from bandit_service.domain.decision_id import DecisionIds
from bandit_service.domain.event import Event, encode_event

EXPERIMENT = Experiment(
    id="e",
    namespace="default",
    status="running",
    revision=1,
    arms=(ArmDefinition(index=0, id="a"), ArmDefinition(index=1, id="b")),
    default_arm="a",
    created_at=0.0,
)
CLAIMS = DecisionClaims("e", 1, 0.5, 1_000)
CLAIMED = encode_event(Event("e", "mine", "decision", 1_000, 1_000, 1, "bandit", counted=True, claim=own_claim(CLAIMS)))


class Known:
    """What a test says that the stores answer."""

    def __init__(self, store: bytes | None) -> None:
        self._store = store

    async def served(self, *_: object) -> ServedExperiment:
        return ServedExperiment(EXPERIMENT, None)

    async def with_arm(self, served: ServedExperiment, _: int) -> ServedExperiment:
        return served

    async def read(self, *asked: Any) -> Any:
        """Answer as the store, which is asked for several keys; the ledger has no claim."""
        return [self._store] if len(asked) == 1 else None


def resolver(store: bytes | None, *, is_store_whole: bool) -> DecisionResolver:
    known: Any = Known(store)

    async def says() -> bool:
        return is_store_whole

    ids = DecisionIds({1: bytes(16)}, bytes)
    return DecisionResolver(lookup=known, ids=ids, claims=known, repository=known, is_store_whole=says)


async def test_a_claim_that_the_ledger_does_not_have_yet_counts() -> None:
    claims, _ = await resolver(CLAIMED, is_store_whole=True).resolve("mine", "e", ANONYMOUS)
    assert claims == CLAIMS


async def test_a_store_that_has_lost_claims_is_not_believed() -> None:
    with pytest.raises(Unavailable):
        await resolver(CLAIMED, is_store_whole=False).resolve("mine", "e", ANONYMOUS)


@pytest.mark.parametrize("is_store_whole", [True, False])
async def test_an_id_that_nobody_has_claimed_is_unknown(is_store_whole: bool) -> None:  # noqa: FBT001
    with pytest.raises(NotFound):
        await resolver(None, is_store_whole=is_store_whole).resolve("mine", "e", ANONYMOUS)
