"""Which decisions, activations and rewards count at once, and which wait."""

from __future__ import annotations

from typing import Any

import pytest

from bandit_core.rules import treatment as rules
from bandit_core.rules.experiment import ArmDefinition, Experiment, FeaturesDefinition, PolicyDefinition
from bandit_core.rules.reward_window import bucket_width_ms
from bandit_core.rules.treatment import Treatment

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
