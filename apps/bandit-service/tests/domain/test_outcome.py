"""What counts: rules of events, whatever their order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from bandit_core.rules.experiment import ArmDefinition, Experiment, FeaturesDefinition, PolicyDefinition
from bandit_service.domain import outcome as rules
from bandit_service.domain.event import Event

AT = 1_764_000_012_345


def experiment(*, contextual: bool = False, **fields: Any) -> Experiment:
    if contextual:
        fields |= {"policy": PolicyDefinition("linucb"), "context": FeaturesDefinition(dimension=1)}
    return Experiment(
        id="homepage",
        namespace="default",
        status="running",
        revision=1,
        arms=(ArmDefinition(0, "a"), ArmDefinition(1, "b")),
        default_arm="a",
        created_at=0.0,
        **fields,
    )


PLAIN, ZERO, CONTEXTUAL = experiment(), experiment(missing_reward="zero"), experiment(contextual=True)
CONTEXTUAL_ZERO = experiment(contextual=True, missing_reward="zero")


def event(kind: Any, **fields: Any) -> Event:
    given = {"experiment_id": "homepage", "decision_id": "d", "decision_ms": AT, "event_ms": AT, "arm_index": 1}
    return Event(kind=kind, **given | {"stratum": "bandit", "counted": False} | fields)  # type: ignore[arg-type]


DECISION = event("decision", context="[1.0]", weights_version=4, propensity=0.5, segment="de", unit_hash="aa")
REWARD = event("reward", event_ms=AT + 9, reward_micro=700, weights_version=4, propensity=0.5, segment="de")
ACTIVATION = event("activation", counted=True)


def test_an_outcome_has_the_time_of_its_reward_and_says_what_was_decided() -> None:
    for order in itertools.permutations([DECISION, REWARD]):
        [outcome] = rules.settled(CONTEXTUAL, order)
        assert outcome == event(
            "outcome",
            event_ms=AT + 9,
            counted=True,
            reward_micro=700,
            weights_version=4,
            propensity=0.5,
            segment="de",
        )
        assert rules.learnt_context(order, outcome) == "[1.0]"


@pytest.mark.parametrize(
    ("known", "events", "complete"),
    [
        (CONTEXTUAL, [REWARD], False),
        (CONTEXTUAL, [DECISION], False),
        (CONTEXTUAL, [REWARD, replace(DECISION, context=None)], False),
        (CONTEXTUAL, [DECISION, replace(REWARD, reward_micro=None)], False),
        (CONTEXTUAL, [DECISION, replace(REWARD, counted=True)], False),
        (CONTEXTUAL, [DECISION, REWARD, event("outcome")], False),
        (CONTEXTUAL, [DECISION, replace(REWARD, stratum="paused")], False),
        (CONTEXTUAL, [replace(REWARD, stratum="direct", context="[2.0]")], True),
        (CONTEXTUAL, [replace(REWARD, deferred=True), replace(DECISION, deferred=True)], False),
        (CONTEXTUAL, [replace(REWARD, deferred=True), replace(DECISION, deferred=True), ACTIVATION], True),
        (PLAIN, [REWARD], True),
        (PLAIN, [replace(REWARD, deferred=True)], False),
        (PLAIN, [replace(REWARD, deferred=True), ACTIVATION], True),
        (PLAIN, [replace(REWARD, deferred=True, stratum="holdout"), ACTIVATION], True),
        (PLAIN, [replace(REWARD, deferred=True), replace(ACTIVATION, counted=False)], False),
        (CONTEXTUAL_ZERO, [DECISION, REWARD], False),
    ],
)
def test_an_outcome_is_written_once_everything_it_depends_on_is_there(
    known: Experiment,
    events: list[Event],
    complete: bool,  # noqa: FBT001
) -> None:
    for order in itertools.permutations(events):
        assert len(rules.settled(known, order)) == complete


def test_a_holdout_teaches_linear_models_nothing() -> None:
    assert rules.learnt_context([DECISION], replace(DECISION, stratum="holdout")) is None


def kinds(events: list[Event]) -> list[tuple[str, int, int | None, bool]]:
    return [(each.kind, each.position, each.reward_micro, each.counted) for each in events]


@pytest.mark.parametrize(
    ("events", "supplied"),
    [
        ([DECISION], [("reward", 0, 0, False)]),
        ([DECISION, REWARD], []),
        ([REWARD], [("decision", 0, None, True)]),
        ([replace(DECISION, stratum="paused")], []),
        ([replace(REWARD, stratum="direct")], []),
        ([replace(DECISION, deferred=True)], [("activation", 0, None, False)]),
        ([replace(DECISION, deferred=True), ACTIVATION], [("reward", 0, 0, False)]),
        (
            [replace(REWARD, deferred=True)],
            [("decision", 0, None, False), ("activation", 0, None, False)],
        ),
        (
            [replace(ACTIVATION, deferred=True)],
            [("decision", 0, None, False), ("reward", 0, 0, False)],
        ),
        (
            [DECISION, replace(DECISION, position=1), replace(REWARD, position=1)],
            [("reward", 0, 0, False)],
        ),
        ([DECISION, replace(REWARD, reward_micro=None)], []),
    ],
)
def test_closing_supplies_each_missing_part_under_its_own_key(
    events: list[Event], supplied: list[tuple[str, int, int | None, bool]]
) -> None:
    for order in itertools.permutations(events):
        found = rules.supplied(ZERO, order)
        assert kinds(found) == supplied
        assert {each.event_ms for each in found} <= {AT, AT + 86_400_000}
        # What is supplied needs nothing more, and gives each shown position its outcome.
        assert rules.supplied(ZERO, [*order, *found]) == []


@pytest.mark.parametrize(
    ("events", "rewards"),
    [
        ([DECISION, replace(REWARD, reward_micro=0)], [0]),
        ([replace(DECISION, context=None), REWARD], [700]),
        ([DECISION, replace(REWARD, reward_micro=None)], []),
        ([DECISION, REWARD, event("outcome")], []),
        ([replace(DECISION, deferred=True), replace(REWARD, deferred=True), replace(ACTIVATION, counted=False)], []),
        ([replace(DECISION, deferred=True), replace(REWARD, deferred=True), ACTIVATION], [700]),
        ([replace(REWARD, stratum="direct")], []),
        ([DECISION, REWARD, replace(DECISION, position=1), replace(REWARD, position=1, reward_micro=5)], [700, 5]),
    ],
)
def test_a_closed_decision_has_one_outcome_for_each_position(events: list[Event], rewards: list[int]) -> None:
    for order in itertools.islice(itertools.permutations(events), 24):
        assert [each.reward_micro for each in rules.closed(order)] == rewards
