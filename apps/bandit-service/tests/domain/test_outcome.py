"""What counts: rules of events, whatever their order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from bandit_service.domain import outcome as rules
from bandit_service.domain.event import Event
from bandit_service.domain.experiment import (
    ArmDefinition,
    Experiment,
    FeaturesDefinition,
    PolicyDefinition,
)
from bandit_service.domain.outcome import Treatment
from bandit_service.domain.reward_window import bucket_width_ms

AT = 1_764_000_012_345
COUNTED, KEPT, SETTLES = Treatment(True, False, None), Treatment(False, False, None), Treatment(False, True, None)  # noqa: FBT003


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


@pytest.mark.parametrize(
    ("window", "width", "start"),
    [(86_400.0, 864_000, 1_763_999_424_000), (100.0, 1_000, 1_764_000_012_000), (0.5, 1_000, 1_764_000_012_000)],
)
def test_a_bucket_is_a_hundredth_of_the_window_and_a_second_at_least(window: float, width: int, start: int) -> None:
    known = experiment(missing_reward="zero", reward_window=window)
    assert bucket_width_ms(known) == width
    assert rules.bucket_ms(known, "bandit", AT) == rules.bucket_ms(known, "holdout", AT) == start
    assert start <= AT < start + width


@pytest.mark.parametrize("stratum", ["paused", "concluded", "direct"])
def test_only_decisions_that_enter_beliefs_wait_for_the_end_of_their_window(stratum: Any) -> None:
    assert rules.bucket_ms(ZERO, stratum, AT) is None
    assert rules.bucket_ms(PLAIN, "bandit", AT) is None


@pytest.mark.parametrize(
    ("known", "stratum", "deferred", "treatment"),
    [
        (PLAIN, "bandit", False, COUNTED),
        (PLAIN, "paused", False, COUNTED),
        (PLAIN, "bandit", True, SETTLES),
        (PLAIN, "paused", True, SETTLES),
        (CONTEXTUAL, "bandit", False, Treatment(True, True, None)),  # noqa: FBT003
        (CONTEXTUAL, "holdout", False, COUNTED),
        (ZERO, "bandit", False, Treatment(True, False, 1_763_999_424_000)),  # noqa: FBT003
        (CONTEXTUAL_ZERO, "bandit", False, Treatment(True, False, 1_763_999_424_000)),  # noqa: FBT003
    ],
)
def test_a_decision_is_counted_when_it_is_shown(
    known: Experiment,
    stratum: Any,
    deferred: bool,  # noqa: FBT001
    treatment: Treatment,
) -> None:
    assert rules.treat_decision(known, stratum, AT, deferred=deferred) == treatment


def test_an_activation_is_counted_and_looked_at() -> None:
    assert rules.treat_activation(PLAIN, "bandit", AT) == (True, True, None)
    assert rules.treat_activation(ZERO, "holdout", AT) == (True, True, 1_763_999_424_000)


@pytest.mark.parametrize(
    ("known", "stratum", "fields", "treatment"),
    [
        (PLAIN, "bandit", {}, COUNTED),
        (PLAIN, "holdout", {}, COUNTED),
        (PLAIN, "direct", {}, COUNTED),
        (PLAIN, "direct", {"has_context": True}, COUNTED),
        (PLAIN, "paused", {}, KEPT),
        (PLAIN, "concluded", {"deferred": True}, KEPT),
        (PLAIN, "bandit", {"deferred": True}, SETTLES),
        (PLAIN, "holdout", {"deferred": True}, SETTLES),
        (PLAIN, "bandit", {"reward_micro": None}, KEPT),
        (CONTEXTUAL, "bandit", {}, SETTLES),
        (CONTEXTUAL, "holdout", {}, COUNTED),
        (CONTEXTUAL, "direct", {"has_context": True}, SETTLES),
        (CONTEXTUAL, "direct", {}, COUNTED),
        (ZERO, "bandit", {}, Treatment(False, False, 1_763_999_424_000)),  # noqa: FBT003
        (ZERO, "holdout", {"deferred": True}, Treatment(False, False, 1_763_999_424_000)),  # noqa: FBT003
        (ZERO, "bandit", {"reward_micro": None}, Treatment(False, False, 1_763_999_424_000)),  # noqa: FBT003
        (ZERO, "direct", {}, COUNTED),
        (ZERO, "paused", {}, KEPT),
        (CONTEXTUAL_ZERO, "direct", {"has_context": True}, SETTLES),
    ],
)
def test_a_reward_counts_at_once_if_its_outcome_depends_on_nothing_else(
    known: Experiment, stratum: Any, fields: dict[str, Any], treatment: Treatment
) -> None:
    assert rules.treat_reward(known, stratum, AT, **{"reward_micro": 5} | fields) == treatment


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
