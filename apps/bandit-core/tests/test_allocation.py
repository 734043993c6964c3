"""Allocation: what the policy proposes, within every guardrail at once, whatever happens to arms and limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from bandit_core.allocation import Allocation, ArmState, allocate
from bandit_core.guardrails import Guardrails, InfeasibleLimits, preset, project
from bandit_core.policies import make_policy
from bandit_core.policies.base import ArmBeliefs, Beliefs, Policy, Proposal
from bandit_core.policies.fixed import Fixed
from bandit_core.policies.thompson import Thompson

TOLERANCE = 1e-12
THIRDS = {"a": 0.33, "b": 0.33, "c": 0.34}


def arm(name: str, trials: int = 1000, successes: int = 50, *, newcomer: bool = False) -> ArmState:
    return ArmState(name, 1.0 + successes, 1.0 + trials - successes, trials, newcomer)


CLEAR = (arm("a", successes=50), arm("b", successes=120), arm("c", successes=60))
"""Arm b is best beyond doubt: Thompson sampling proposes over 99.99% for it."""


def update(
    arms: Sequence[ArmState] = CLEAR,
    guardrails: Guardrails | None = None,
    previous: Mapping[str, float] | None = None,
    since: float | None = None,
    policy: Policy | None = None,
) -> Allocation:
    return allocate(
        arms=arms,
        policy=policy or Thompson(),
        guardrails=guardrails or Guardrails(),
        previous=previous,
        seconds_since_change=since,
    )


@dataclass(frozen=True)
class Situation:
    """A legal state of an experiment at the moment of an update."""

    arms: tuple[ArmState, ...]
    guardrails: Guardrails
    previous: dict[str, float] | None
    since: float | None
    policy: Policy

    def allocate(self) -> Allocation:
        return update(self.arms, self.guardrails, self.previous, self.since, self.policy)

    @property
    def incumbents(self) -> list[str]:
        return [arm.id for arm in self.arms if arm.id in (self.previous or {})]


def shares(draw: st.DrawFn, names: Sequence[str]) -> dict[str, float]:
    raw = np.array([draw(st.sampled_from([0.0, 0.001, 0.3, 1.0]) | st.floats(0.0, 1.0)) for _ in names])
    raw = raw + (0.0 if raw.sum() > 1e-3 else 1.0)
    return dict(zip(names, (raw / raw.sum()).tolist(), strict=True))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Draw arms of which some joined and others left, limits, and previous weights that ignore both."""
    names = [f"arm-{index}" for index in range(draw(st.integers(1, 7)))]
    gone = [f"gone-{index}" for index in range(draw(st.integers(0, 2)))]
    before = [name for name in names if draw(st.integers(0, 3))] + gone
    arms = tuple(
        ArmState(name, 1.0, 1.0, draw(st.integers(0, 200)), newcomer=draw(st.integers(0, 4)) == 0) for name in names
    )
    guardrails = Guardrails(
        min_trials=draw(st.sampled_from([0, 0, 20, 100])),
        max_step=draw(st.sampled_from([0.001, 0.1, 1.0]) | st.floats(0.01, 1.0)),
        min_weight=draw(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0.0, 1.0)) / len(names),
        cooldown=draw(st.sampled_from([0.0, 60.0])),
    )
    published = shares(draw, before) if before else None
    previous = draw(st.sampled_from([published] * 9 + [None]))
    since = draw(st.none() | st.floats(0.0, 120.0))
    return Situation(arms, guardrails, previous, since, Fixed(shares(draw, names)))


@settings(deadline=None, max_examples=200)
@given(situations())
def test_weights_are_probabilities_above_the_floor_in_every_legal_state(situation: Situation) -> None:
    weights = np.array(list(situation.allocate().weights.values()))
    assert abs(weights.sum() - 1.0) <= TOLERANCE
    assert weights.min() >= min(situation.guardrails.min_weight, 1.0 / len(weights))


@settings(deadline=None, max_examples=200)
@given(situations())
def test_explained_limits_hold_and_what_changed_a_weight_is_named(situation: Situation) -> None:
    result = situation.allocate()
    for row in result.explanation.arms:
        assert result.weights[row.id] == row.weight
        assert row.lower <= row.weight <= row.upper
        if row.bound is not None:
            assert row.weight in (row.lower, row.upper)
            assert row.weight != row.proposed
    if all(row.bound is None and row.proposed is not None for row in result.explanation.arms):
        proposed = [row.proposed for row in result.explanation.arms]
        assert [row.weight for row in result.explanation.arms] == pytest.approx(proposed, abs=1e-8)


@settings(deadline=None, max_examples=200)
@given(situations())
def test_no_weight_moves_further_than_the_step_that_is_recorded(situation: Situation) -> None:
    result = situation.allocate()
    relaxation = result.explanation.relaxation
    allowed = relaxation.used if relaxation else situation.guardrails.max_step
    for name in situation.incumbents:
        assert abs(result.weights[name] - (situation.previous or {})[name]) <= allowed + 2e-9


def least_step(situation: Situation, waiting: Sequence[str]) -> float:
    """Solve for the least max_step that leaves any weights at all, as a linear programme."""
    previous, floor = situation.previous or {}, situation.guardrails.min_weight
    n_arms, bounds, rows, sides = len(situation.arms), [], [], []
    for index, state in enumerate(situation.arms):
        stays, before = state.id in previous, previous.get(state.id, 0.0)
        bounds.append((floor, max(before, floor) if state.id in waiting else 1.0 if stays else floor))
        for sign in (1.0, -1.0) if stays else ():
            rows.append([sign * (other == index) for other in range(n_arms)] + [-1.0])
            sides.append(sign * before)
    objective, total = [0.0] * n_arms + [1.0], [[1.0] * n_arms + [0.0]]
    solved = linprog(objective, A_ub=rows, b_ub=sides, A_eq=total, b_eq=[1.0], bounds=[*bounds, (0.0, 1.0)])
    assert solved.success, solved.message
    return float(solved.fun)


@settings(deadline=None, max_examples=150)
@given(situations())
def test_max_step_is_relaxed_by_as_little_as_needed(situation: Situation) -> None:
    explanation = situation.allocate().explanation
    if explanation.first or explanation.holds:
        return
    needed = least_step(situation, explanation.waiting)
    used = explanation.relaxation.used if explanation.relaxation else situation.guardrails.max_step
    assert used == pytest.approx(max(situation.guardrails.max_step, needed), abs=1e-7)
    assert not explanation.relaxation or explanation.relaxation.reasons


@settings(deadline=None, max_examples=200)
@given(situations())
def test_an_arm_that_joins_enters_at_the_floor_in_every_legal_state(situation: Situation) -> None:
    result = situation.allocate()
    assert result.explanation.first == (not situation.incumbents)
    for name in result.explanation.joined:
        assert result.weights[name] == situation.guardrails.min_weight


@settings(deadline=None, max_examples=200)
@given(situations())
def test_a_hold_keeps_weights_exactly_unless_arms_or_the_floor_changed(situation: Situation) -> None:
    result = situation.allocate()
    previous = situation.previous or {}
    unchanged = previous.keys() == result.weights.keys() and min(previous.values()) >= situation.guardrails.min_weight
    if result.explanation.holds and unchanged:
        assert result.weights == previous


@settings(deadline=None, max_examples=200)
@given(situations())
def test_an_arm_without_enough_data_never_gains_from_the_policy(situation: Situation) -> None:
    """It may gain only what a leaving arm frees, or what the floor demands."""
    result = situation.allocate()
    if result.explanation.first or result.explanation.left or situation.guardrails.min_weight == 0.0:
        return
    for state in situation.arms:
        if state.trials < situation.guardrails.min_trials:
            before = (situation.previous or {}).get(state.id, 0.0)
            assert result.weights[state.id] <= max(before, situation.guardrails.min_weight) + TOLERANCE


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_sequence_of_legal_changes_breaks_the_guardrails(data: st.DataObject) -> None:
    """Arms join and retire, limits are patched and rewards arrive, in any order; weights carry over."""
    arms, weights, names = [arm("arm-0", 0, 0), arm("arm-1", 0, 0)], None, iter(f"late-{index}" for index in range(99))
    for _ in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["reward", "reward", "join", "leave", "patch"])):
            case "reward":
                arms = [replace(state, trials=state.trials + data.draw(st.integers(0, 30))) for state in arms]
            case "join":
                arms.append(arm(next(names), 0, 0))
            case "leave" if len(arms) > 1:
                arms.pop(data.draw(st.integers(0, len(arms) - 1)))
        guardrails = Guardrails(
            min_trials=data.draw(st.sampled_from([0, 30])),
            max_step=data.draw(st.floats(0.01, 1.0)),
            min_weight=data.draw(st.floats(0.0, 1.0)) / len(arms),
            cooldown=data.draw(st.sampled_from([0.0, 10.0])),
        )
        favourite = Fixed({data.draw(st.sampled_from(arms)).id: 1.0})
        result = update(arms, guardrails, weights, data.draw(st.none() | st.floats(0.0, 20.0)), favourite)
        weights = result.weights
        assert sum(weights.values()) == pytest.approx(1.0, abs=TOLERANCE)
        assert min(weights.values()) >= guardrails.min_weight - TOLERANCE


def test_first_weights_are_the_proposal_under_the_floor() -> None:
    result = update(guardrails=Guardrails(max_step=0.01, min_weight=0.05, cooldown=60.0))
    proposal = Thompson().propose(Beliefs(("a", "b", "c"), *(np.array(x) for x in zip(*_parameters(), strict=True))))
    assert list(result.weights.values()) == pytest.approx(project(proposal.weights, 0.05), abs=TOLERANCE)
    assert result.explanation.first
    assert not result.explanation.joined


def _parameters() -> list[tuple[float, float]]:
    return [(state.alpha, state.beta) for state in CLEAR]


def test_first_weights_are_equal_while_min_trials_holds() -> None:
    result = update([*CLEAR[:2], arm("c", 312, 10)], Guardrails(min_trials=500, min_weight=0.05))
    assert result.weights == {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    (hold,) = result.explanation.holds
    assert (hold.guardrail, hold.arms, hold.observed, hold.required) == ("min_trials", ("c",), 312.0, 500.0)


def test_guardrails_of_the_quick_start_let_the_better_arm_gain_one_step() -> None:
    result = update(guardrails=Guardrails(min_trials=500, max_step=0.1, min_weight=0.05), previous=THIRDS)
    assert result.weights == pytest.approx({"a": 0.285, "b": 0.43, "c": 0.285}, abs=1e-5)
    assert [row.bound for row in result.explanation.arms] == [None, "max_step", None]


def test_repeated_updates_arrive_at_the_proposal_under_the_floor() -> None:
    guardrails, weights = Guardrails(max_step=0.1, min_weight=0.05), {"a": 0.9, "b": 0.05, "c": 0.05}
    for _ in range(10):
        weights = update(guardrails=guardrails, previous=weights).weights
    assert weights == pytest.approx({"a": 0.05, "b": 0.9, "c": 0.05}, abs=1e-9)


def test_an_incumbent_without_enough_data_holds_everybody() -> None:
    result = update([*CLEAR[:2], arm("c", 499)], Guardrails(min_trials=500, min_weight=0.05), THIRDS)
    assert result.weights == THIRDS
    assert {row.bound for row in result.explanation.arms} == {"min_trials"}


@pytest.mark.parametrize(("since", "holds"), [(0.0, True), (59.9, True), (60.0, False), (None, False), (-2.0, True)])
def test_cooldown_holds_until_its_time_is_over(since: float | None, holds: bool) -> None:  # noqa: FBT001
    """A clock that runs behind the one that published (a negative time) only prolongs the hold."""
    result = update(guardrails=Guardrails(cooldown=60.0), previous=THIRDS, since=since)
    assert (result.weights == THIRDS) == holds
    assert [hold.guardrail for hold in result.explanation.holds] == (["cooldown"] if holds else [])


def test_an_arm_joins_at_the_floor_even_during_holds_and_the_others_keep_their_proportions() -> None:
    guardrails = Guardrails(min_trials=5000, min_weight=0.1, cooldown=60.0)
    result = update([*CLEAR, arm("d", 0, 0)], guardrails, THIRDS, since=1.0)
    assert result.weights == pytest.approx({"a": 0.297, "b": 0.297, "c": 0.306, "d": 0.1}, abs=TOLERANCE)
    assert result.explanation.joined == ("d",)
    assert [hold.guardrail for hold in result.explanation.holds] == ["min_trials", "cooldown"]
    assert result.explanation.arms[3].bound == "entry"


def test_a_newcomer_waits_at_the_floor_for_data_while_the_others_move() -> None:
    guardrails, weights = Guardrails(min_trials=500, max_step=0.1, min_weight=0.05), THIRDS
    for trials in (0, 20, 40):
        result = update([*CLEAR, arm("d", trials, trials)], guardrails, weights)
        assert result.weights["d"] == 0.05
        assert result.weights["b"] > weights["b"] + 0.05
        weights = result.weights
    assert result.explanation.waiting == ("d",)
    assert result.explanation.arms[3].proposed is None
    assert result.explanation.arms[3].bound == "min_trials"


def test_what_the_policy_sees_in_a_newcomer_without_data_moves_nothing_to_known_losers() -> None:
    """Arm d is best with 88% for want of data; were that share spread over the others, a and c would gain by it."""
    settled = {"a": 0.05, "b": 0.9, "c": 0.05}
    guardrails, arms = Guardrails(min_trials=500, min_weight=0.05), [*CLEAR, arm("d", 0, 0)]
    joined = update(arms, guardrails, settled).weights
    assert joined == pytest.approx({"a": 0.05, "b": 0.85, "c": 0.05, "d": 0.05}, abs=1e-6)
    assert update(arms, guardrails, joined).weights == pytest.approx(joined, abs=1e-6)


def test_a_newcomer_with_enough_data_takes_part() -> None:
    weights = {"a": 0.25, "b": 0.45, "c": 0.25, "d": 0.05}
    result = update([*CLEAR, arm("d", 500, 450)], Guardrails(min_trials=500, max_step=0.1, min_weight=0.05), weights)
    assert result.weights["d"] == pytest.approx(0.15, abs=TOLERANCE)


def test_a_declared_newcomer_does_not_hold_the_others_after_the_floor_was_lowered() -> None:
    weights, guardrails = {"a": 0.2, "b": 0.5, "c": 0.2, "d": 0.1}, Guardrails(min_trials=500, min_weight=0.01)
    assert update([*CLEAR, arm("d", 3, 1)], guardrails, weights).explanation.holds
    result = update([*CLEAR, arm("d", 3, 1, newcomer=True)], guardrails, weights)
    assert not result.explanation.holds
    assert result.weights["b"] > 0.8


def test_without_a_floor_a_newcomer_follows_the_policy_at_its_second_update() -> None:
    guardrails, arms = Guardrails(min_trials=500), [*CLEAR, arm("d", 0, 0)]
    first = update(arms, guardrails, THIRDS)
    assert first.weights["d"] == 0.0
    assert update(arms, guardrails, first.weights).weights["d"] > 0.5


def test_what_a_leaving_arm_frees_goes_to_the_others_in_proportion_during_a_hold() -> None:
    result = update(CLEAR[:2], Guardrails(cooldown=60.0), {"a": 0.1, "b": 0.3, "c": 0.6}, since=1.0)
    assert result.weights == pytest.approx({"a": 0.25, "b": 0.75}, abs=TOLERANCE)
    assert result.explanation.left == {"c": 0.6}


def test_during_a_hold_arms_that_had_nothing_share_equally_when_those_that_had_it_all_left() -> None:
    result = update(CLEAR[:2], Guardrails(cooldown=60.0), {"a": 0.0, "b": 0.0, "c": 1.0}, since=1.0)
    assert result.weights == {"a": 0.5, "b": 0.5}


def test_a_leaving_arm_relaxes_max_step_by_as_little_as_needed() -> None:
    """Arm c leaves 70% behind: both others have to take 35 points each, and may take no more."""
    result = update(CLEAR[:2], Guardrails(max_step=0.1, min_weight=0.05), {"a": 0.1, "b": 0.2, "c": 0.7})
    assert result.weights == pytest.approx({"a": 0.45, "b": 0.55}, abs=TOLERANCE)
    assert result.explanation.relaxation is not None
    assert result.explanation.relaxation.used == pytest.approx(0.35, abs=TOLERANCE)
    assert result.explanation.relaxation.reasons == ("left",)


def test_a_joining_arm_relaxes_max_step_only_where_the_others_could_not_make_room() -> None:
    arms, weights = [arm("a"), arm("b"), arm("new", 0, 0)], {"a": 0.5, "b": 0.5}
    wide = update(arms, Guardrails(max_step=0.1, min_weight=0.1), weights)
    assert wide.explanation.relaxation is None
    narrow = update(arms, Guardrails(max_step=0.02, min_weight=0.1), weights)
    assert narrow.explanation.relaxation is not None
    assert narrow.explanation.relaxation.used == pytest.approx(0.05, abs=TOLERANCE)
    assert narrow.explanation.relaxation.reasons == ("joined",)


def test_a_floor_raised_above_a_weight_wins_over_max_step_and_is_recorded() -> None:
    result = update(guardrails=Guardrails(max_step=0.05, min_weight=0.2), previous={"a": 0.02, "b": 0.9, "c": 0.08})
    assert result.weights == pytest.approx({"a": 0.2, "b": 0.6, "c": 0.2}, abs=TOLERANCE)
    assert result.explanation.relaxation is not None
    assert result.explanation.relaxation.used == pytest.approx(0.3, abs=TOLERANCE)
    assert result.explanation.relaxation.reasons == ("floor",)


def test_weights_of_arms_that_are_all_gone_count_as_none() -> None:
    result = update(guardrails=Guardrails(min_weight=0.05), previous={"x": 0.5, "y": 0.5}, since=1.0)
    assert result.explanation.first
    assert result.explanation.left == {"x": 0.5, "y": 0.5}
    assert result.weights["b"] == pytest.approx(0.9, abs=1e-4)


def test_a_floor_that_does_not_fit_is_an_error_that_names_it() -> None:
    with pytest.raises(InfeasibleLimits, match=r"min_weight 0\.4 for each of 3 arms adds up to 1\.2"):
        update(guardrails=Guardrails(min_weight=0.4))


@pytest.mark.parametrize("previous", [{"a": 0.5, "b": 0.4, "c": 0.0}, {"a": 1.2, "b": -0.2, "c": 0.0}])
def test_previous_weights_must_be_probabilities(previous: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="previous weights must be at least 0 and sum to 1"):
        update(previous=previous)


def test_previous_weights_rounded_by_hand_are_scaled_to_sum_to_one() -> None:
    result = update(
        guardrails=Guardrails(cooldown=60.0), previous={"a": 0.3333333, "b": 0.3333333, "c": 0.3333333}, since=1
    )
    assert sum(result.weights.values()) == pytest.approx(1.0, abs=TOLERANCE)


@pytest.mark.parametrize("trials", [-1.0, float("nan"), float("inf")])
def test_trials_must_be_a_count(trials: float) -> None:
    with pytest.raises(ValueError, match="trials of arm 'a' must be finite and at least 0"):
        ArmState("a", 1.0, 1.0, trials)


def test_a_policy_that_answers_for_the_wrong_number_of_arms_is_named() -> None:
    @dataclass(frozen=True)
    class Confused:
        name: ClassVar[str] = "confused"
        title: ClassVar[str] = "a confused policy"

        def propose(self, beliefs: ArmBeliefs) -> Proposal:
            return Proposal(np.ones(1) / len(beliefs.arms[:1]))

    with pytest.raises(ValueError, match="policy 'confused' proposed 1 weights for 3 arms"):
        update(policy=Confused())


def test_a_thousand_arms_are_allocated_with_every_limit_intact() -> None:
    rng = np.random.default_rng(5)
    arms = [arm(f"arm-{index}", 1000, int(wins)) for index, wins in enumerate(rng.binomial(1000, 0.05, 1000))]
    guardrails, previous = preset("safe", 1000), {state.id: 1e-3 for state in arms}
    weights = update(arms, guardrails, previous).weights
    assert sum(weights.values()) == pytest.approx(1.0, abs=TOLERANCE)
    assert min(weights.values()) >= guardrails.min_weight
    assert max(weights.values()) <= 1e-3 + guardrails.max_step + TOLERANCE


@pytest.mark.parametrize(
    ("name", "params"), [("top_two_thompson", {}), ("epsilon_greedy", {}), ("bayes_ucb", {}), ("uniform", {})]
)
def test_guardrails_compose_with_every_policy(name: str, params: dict[str, Any]) -> None:
    result = update(
        guardrails=Guardrails(max_step=0.1, min_weight=0.05), previous=THIRDS, policy=make_policy(name, params)
    )
    assert all(abs(result.weights[name] - THIRDS[name]) <= 0.1 + TOLERANCE for name in THIRDS)
    assert result.explanation.strategy == name
