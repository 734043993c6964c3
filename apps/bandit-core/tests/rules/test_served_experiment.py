"""Which arm a request gets, given a definition, published weights and one uniform number."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import ArmDefinition, ConclusionDefinition, Experiment
from bandit_core.rules.selection import Selection
from bandit_core.rules.served_experiment import NoWeightsError, ServedExperiment

SALT = "00" * 16


def experiment(*arms: str, retired: tuple[str, ...] = (), **fields: Any) -> Experiment:
    definitions = tuple(
        ArmDefinition(index=index, id=arm, status="retired" if arm in retired else "active")
        for index, arm in enumerate(arms)
    )
    defaults = {"namespace": "default", "status": "running", "revision": 1, "default_arm": arms[0], "created_at": 0.0}
    return Experiment(**{"id": "homepage", "arms": definitions, "salt": SALT, "unit_salt": SALT, **defaults, **fields})


def published(**weights: float) -> AllocationRecord:
    return AllocationRecord(
        version=1,
        revision=1,
        published_at=0.0,
        changed_at=0.0,
        weights=weights,
        prob_best=weights,
        expected_loss=weights,
    )


def choices(served: ServedExperiment, number: int = 2_000, unit: str | None = None) -> Counter[Selection]:
    return Counter(served.choose(unit, u) for u in np.random.default_rng(3).random(number))


def test_an_arm_is_drawn_with_its_weight_as_its_propensity() -> None:
    serving = ServedExperiment(experiment("a", "b", "c"), published(a=0.2, b=0.0, c=0.8))
    counts = choices(serving)
    assert {(choice.arm.id, choice.propensity, choice.stratum) for choice in counts} == {
        ("a", 0.2, "bandit"),
        ("c", 0.8, "bandit"),
    }
    # Five standard errors of a binomial proportion.
    assert abs(counts.total() * 0.2 - counts[serving.choose(None, 0.0)]) < 5 * np.sqrt(2_000 * 0.2 * 0.8)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.001, 1.0), min_size=2),
    st.sets(st.sampled_from("abcdef")),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_a_retired_arm_is_masked_at_once_and_the_propensity_renormalised(
    raw: dict[str, float], retired: set[str], uniform: float
) -> None:
    total = sum(raw.values())
    weights = {arm: weight / total for arm, weight in raw.items()}
    left = {arm: weight for arm, weight in weights.items() if arm not in retired}
    if not left:
        return
    serving = ServedExperiment(experiment(*raw, retired=tuple(retired)), published(**weights))
    choice = serving.choose(None, uniform)
    assert choice.arm.id in left
    assert choice.propensity == pytest.approx(left[choice.arm.id] / sum(left.values()), rel=1e-12)
    assert sum(serving.published.weights.values()) == pytest.approx(1.0, abs=1e-12)


def test_an_arm_that_joined_gets_nothing_before_weights_are_published_for_it() -> None:
    serving = ServedExperiment(experiment("a", "b", "new"), published(a=0.5, b=0.5))
    assert {choice.arm.id for choice in choices(serving)} == {"a", "b"}


def test_the_default_arm_is_served_when_every_published_arm_has_retired() -> None:
    serving = ServedExperiment(
        experiment("a", "b", "new", retired=("a", "b"), default_arm="new"), published(a=0.5, b=0.5)
    )
    assert serving.choose(None, 0.3) == Selection(serving.experiment.arm("new"), 1.0, "bandit")


def test_without_weights_nothing_is_invented() -> None:
    with pytest.raises(NoWeightsError):
        ServedExperiment(experiment("a", "b"), None).choose(None, 0.5)


@pytest.mark.parametrize("allocation", [None, published(a=0.5, b=0.5)])
def test_a_pause_serves_the_default_arm(allocation: AllocationRecord | None) -> None:
    serving = ServedExperiment(experiment("a", "b", status="paused", default_arm="b"), allocation)
    assert serving.choose(None, 0.1) == Selection(serving.experiment.arm("b"), 1.0, "paused")


@pytest.mark.parametrize(("winner", "served"), [("b", "b"), (None, "a")])
def test_a_conclusion_serves_the_winner_or_the_default_arm_if_there_is_none(winner: str | None, served: str) -> None:
    serving = ServedExperiment(experiment("a", "b", status="concluded", winner=winner), None)
    assert serving.choose(None, 0.9) == Selection(serving.experiment.arm(served), 1.0, "concluded")


def test_a_policy_that_proved_better_goes_on_for_everybody() -> None:
    ended = ConclusionDefinition(at=0.0, who="rule", why="better", outcome="better_policy")
    settings: dict[str, Any] = {"status": "concluded", "conclusion": ended, "holdout": 0.99, "control_arm": "a"}
    serving = ServedExperiment(experiment("a", "b", **settings), published(a=0.25, b=0.75))
    chosen = {serving.choose(f"unit-{number}", 0.9) for number in range(50)}
    assert chosen == {Selection(serving.experiment.arm("b"), 0.75, "concluded")}


def sticky(**weights: float) -> ServedExperiment:
    return ServedExperiment(experiment(*weights, assignment="sticky"), published(**weights))


@given(st.text(min_size=1, max_size=40), st.floats(0.0, 1.0, exclude_max=True), st.floats(0.0, 1.0, exclude_max=True))
def test_a_unit_sticks_to_its_arm_whatever_the_draw(unit: str, first: float, second: float) -> None:
    serving = sticky(a=0.3, b=0.7)
    assert serving.choose(unit, first) == serving.choose(unit, second)


def test_units_spread_by_the_weights_and_their_propensity_is_the_weight() -> None:
    serving = sticky(a=0.3, b=0.7)
    counts = Counter(serving.choose(f"unit-{number}", 0.0) for number in range(4_000))
    assert {choice.arm.id: choice.propensity for choice in counts} == {"a": 0.3, "b": 0.7}
    shares = {choice.arm.id: count / 4_000 for choice, count in counts.items()}
    assert shares["a"] == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / 4_000))


def test_a_change_of_weights_moves_units_only_towards_the_arm_that_gained() -> None:
    before, after = sticky(a=0.5, b=0.5), sticky(a=0.4, b=0.6)
    moves = Counter(
        (before.choose(unit, 0.0).arm.id, after.choose(unit, 0.0).arm.id) for unit in map(str, range(2_000))
    )
    assert moves["a", "b"] > 0
    assert moves["b", "a"] == 0


def test_the_holdout_is_a_fixed_share_of_units_and_gets_the_control_arm() -> None:
    held = ServedExperiment(experiment("a", "b", "c", holdout=0.2, control_arm="c"), published(a=0.5, b=0.5, c=0.0))
    chosen = {unit: held.choose(unit, 0.1) for unit in map(str, range(4_000))}
    holdout = [choice for choice in chosen.values() if choice.stratum == "holdout"]
    assert set(holdout) == {Selection(held.experiment.arm("c"), 1.0, "holdout")}
    assert len(holdout) / 4_000 == pytest.approx(0.2, abs=5 * np.sqrt(0.2 * 0.8 / 4_000))
    assert all(held.choose(unit, 0.9).stratum == choice.stratum for unit, choice in chosen.items())


def test_another_experiment_of_the_same_units_holds_out_others() -> None:
    first, second = (
        ServedExperiment(
            experiment("a", "b", id=name, salt=salt, holdout=0.5, control_arm="a"), published(a=0.5, b=0.5)
        )
        for name, salt in (("one", "11" * 16), ("two", "22" * 16))
    )
    both = sum(
        first.choose(unit, 0.0).stratum == second.choose(unit, 0.0).stratum == "holdout"
        for unit in map(str, range(4_000))
    )
    assert both / 4_000 == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / 4_000))
