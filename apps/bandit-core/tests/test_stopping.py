"""The stopping rule: when an experiment is done, and why, in numbers and in words."""

import json
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_core.adaptive.effect import Effects, effects
from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.gaussian import GaussianBeliefs
from bandit_core.policies.base import Beliefs
from bandit_core.stopping import EffectCondition, StoppingRule, Verdict

DAY = 86_400.0


def beliefs_of(*arms: tuple[int, int]) -> Beliefs:
    """Return the beliefs after (successes, trials) of each arm, from uniform priors."""
    successes, trials = np.array(arms, dtype=np.float64).T
    names = tuple(f"item-{index}" for index in range(1, len(arms) + 1))
    return Beliefs(names, 1.0 + successes, 1.0 + trials - successes)


CLEAR = beliefs_of((50, 1000), (120, 1000), (60, 1000))
NEARLY_TIED = beliefs_of((5_000, 100_000), (5_010, 100_000))
OPEN = beliefs_of((50, 1000), (65, 1000), (55, 1000))
PLENTY = {"item-1": 1000, "item-2": 1000, "item-3": 1000}


def test_the_leader_wins_once_its_chance_of_being_best_reaches_the_threshold() -> None:
    verdict = StoppingRule(prob_best=0.95).evaluate(CLEAR, PLENTY, elapsed=0.0)
    assert (verdict.outcome, verdict.stop, verdict.arm, verdict.progress) == ("winner", True, "item-2", 1.0)


def test_an_open_race_goes_on() -> None:
    verdict = StoppingRule(prob_best=0.95).evaluate(OPEN, PLENTY, elapsed=0.0)
    assert (verdict.outcome, verdict.stop, verdict.arm) == ("undecided", False, None)
    assert 0.0 < verdict.progress < 1.0


def test_arms_whose_choice_costs_next_to_nothing_are_practically_equal() -> None:
    rule = StoppingRule(prob_best=0.95, expected_loss=0.0005)
    verdict = rule.evaluate(NEARLY_TIED, PLENTY, elapsed=0.0)
    assert (verdict.outcome, verdict.stop, verdict.arm) == ("practically_equal", True, "item-2")


def test_all_conditions_are_needed_when_they_are_combined_so() -> None:
    rule = StoppingRule(prob_best=0.95, expected_loss=0.0005, combine="all")
    assert not rule.evaluate(NEARLY_TIED, PLENTY, elapsed=0.0).stop
    assert rule.evaluate(CLEAR, PLENTY, elapsed=0.0).outcome == "winner"


@pytest.mark.parametrize(("combine", "stop"), [("any", True), ("all", False)])
def test_a_winner_is_judged_by_its_own_expected_loss(combine: Literal["any", "all"], stop: bool) -> None:  # noqa: FBT001
    """An arm with a skewed posterior may lead by P(best) while another, with the higher mean, is the safer choice."""
    beliefs = Beliefs(("likely", "safe"), np.array([9.0, 91_000.0]), np.array([1.0, 9_000.0]))
    best = beliefs.best_arm
    assert best.leader == 0
    assert best.expected_loss[1] < best.expected_loss[0]
    tolerance = float(best.expected_loss.mean())
    rule = StoppingRule(min_decisions_per_arm=0, prob_best=0.55, expected_loss=tolerance, combine=combine)
    verdict = rule.evaluate(beliefs, {}, elapsed=0.0)
    assert (verdict.stop, verdict.arm) == (stop, "likely" if stop else None)
    assert [condition.arm for condition in verdict.conditions] == ["likely", "likely"]


@pytest.mark.parametrize(
    ("rule", "decisions"),
    [
        (StoppingRule(min_decisions=3001), PLENTY),
        (StoppingRule(min_decisions_per_arm=1001), PLENTY),
        (StoppingRule(min_decisions_per_arm=1), {"item-1": 1000, "item-2": 1000}),
    ],
    ids=["total", "per arm", "an arm without decisions"],
)
def test_evidence_alone_does_not_stop_before_there_is_enough_data(
    rule: StoppingRule, decisions: dict[str, int]
) -> None:
    assert not rule.evaluate(CLEAR, decisions, elapsed=0.0).stop


def test_decisions_for_arms_that_left_count_for_the_total() -> None:
    rule = StoppingRule(min_decisions=3500, min_decisions_per_arm=1000)
    assert rule.evaluate(CLEAR, {**PLENTY, "retired": 500}, elapsed=0.0).stop


def test_the_maximum_duration_stops_whatever_is_known_and_decides_nothing() -> None:
    rule = StoppingRule(min_decisions_per_arm=5000, max_duration=DAY)
    verdict = rule.evaluate(CLEAR, PLENTY, elapsed=DAY)
    assert (verdict.outcome, verdict.stop, verdict.arm, verdict.progress) == ("undecided", True, None, 1.0)


def test_evidence_decides_even_when_the_maximum_duration_is_over() -> None:
    assert StoppingRule(max_duration=DAY).evaluate(CLEAR, PLENTY, elapsed=2 * DAY).outcome == "winner"


def test_a_rule_of_duration_alone_waits_for_it() -> None:
    rule = StoppingRule(prob_best=None, min_decisions_per_arm=0, max_duration=DAY)
    assert rule.evaluate(CLEAR, PLENTY, elapsed=DAY / 4).progress == 0.25
    assert rule.evaluate(CLEAR, PLENTY, elapsed=DAY).outcome == "undecided"


def test_without_a_threshold_for_the_chance_of_being_best_nobody_is_announced_as_best() -> None:
    verdict = StoppingRule(prob_best=None, expected_loss=0.001).evaluate(CLEAR, PLENTY, elapsed=0.0)
    assert (verdict.outcome, verdict.arm) == ("practically_equal", "item-2")


POLICY = StoppingRule(prob_best=None, prob_better=0.95)


def test_a_policy_that_earns_more_than_the_control_ends_it_without_naming_an_arm() -> None:
    verdict = POLICY.evaluate(CLEAR, PLENTY, elapsed=0.0, prob_better=0.96)
    assert (verdict.outcome, verdict.stop, verdict.arm, verdict.progress) == ("better_policy", True, None, 1.0)
    assert verdict.sentence() == (
        "better policy, stopped - the policy's chance of earning more than the control is 96% (at least 95% asked "
        "for); 1,000 decisions or more for every arm (at least 100)"
    )


def test_a_policy_that_may_be_better_goes_on_from_an_even_chance() -> None:
    even = POLICY.evaluate(CLEAR, PLENTY, elapsed=0.0, prob_better=0.5)
    assert (even.outcome, even.stop, even.progress) == ("undecided", False, 0.0)
    assert 0.5 < POLICY.evaluate(CLEAR, PLENTY, elapsed=0.0, prob_better=0.9).progress < 1.0


def test_a_better_policy_waits_for_enough_data_as_every_evidence_does() -> None:
    assert not POLICY.evaluate(CLEAR, {"item-1": 1000}, elapsed=0.0, prob_better=0.99).stop


@pytest.mark.parametrize(("combine", "outcome"), [("any", "better_policy"), ("all", "undecided")])
def test_a_better_policy_is_evidence_beside_that_of_arms(combine: Literal["any", "all"], outcome: str) -> None:
    rule = StoppingRule(prob_best=0.95, prob_better=0.95, combine=combine)
    assert rule.evaluate(OPEN, PLENTY, elapsed=0.0, prob_better=0.99).outcome == outcome
    assert rule.evaluate(CLEAR, PLENTY, elapsed=0.0, prob_better=0.99).outcome == "winner"


def test_a_rule_about_the_policy_needs_to_know_of_it() -> None:
    with pytest.raises(ValueError, match="the rule asks for prob_better"):
        POLICY.evaluate(CLEAR, PLENTY, elapsed=0.0)


def test_the_only_arm_wins() -> None:
    assert StoppingRule().evaluate(beliefs_of((5, 100)), {"item-1": 100}, elapsed=0.0).arm == "item-1"


rules = st.builds(
    StoppingRule,
    min_decisions=st.integers(0, 5000),
    min_decisions_per_arm=st.integers(0, 2000),
    prob_best=st.none() | st.floats(0.3, 1.0),
    expected_loss=st.none() | st.floats(1e-6, 0.1),
    prob_better=st.none() | st.floats(0.3, 1.0),
    combine=st.sampled_from(["any", "all"]),
    max_duration=st.floats(1.0, 1e6),
)
beliefs = st.lists(st.tuples(st.integers(0, 200), st.integers(200, 2000)), min_size=1, max_size=4).map(
    lambda arms: beliefs_of(*arms)
)
counts = st.fixed_dictionaries({f"item-{index}": st.integers(0, 3000) for index in range(1, 5)})


@settings(deadline=None, max_examples=150)
@given(rule=rules, beliefs=beliefs, decisions=counts, elapsed=st.floats(0.0, 2e6), prob_better=st.floats(0.0, 1.0))
def test_a_verdict_is_consistent_and_survives_json(
    rule: StoppingRule, beliefs: Beliefs, decisions: dict[str, int], elapsed: float, prob_better: float
) -> None:
    verdict = rule.evaluate(beliefs, decisions, elapsed, prob_better)
    assert (verdict.progress == 1.0) == verdict.stop
    assert 0.0 <= verdict.progress <= 1.0
    assert (verdict.arm is None) == (verdict.outcome in ("undecided", "better_policy"))
    assert ("winner" in verdict.sentence()) == (verdict.outcome == "winner")
    assert any(name in verdict.sentence() for name in beliefs.arms) == (verdict.arm is not None)
    for condition in verdict.conditions:
        assert (condition.progress == 1.0) == condition.holds
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict(), allow_nan=False))) == verdict


@settings(deadline=None, max_examples=100)
@given(rule=rules, beliefs=beliefs, decisions=counts, elapsed=st.floats(0.0, 2e6), more=st.integers(1, 1000))
def test_more_data_and_more_time_never_lower_the_progress(
    rule: StoppingRule, beliefs: Beliefs, decisions: dict[str, int], elapsed: float, more: int
) -> None:
    now = rule.evaluate(beliefs, decisions, elapsed, 0.6).progress
    later = {arm: count + more for arm, count in decisions.items()}
    assert rule.evaluate(beliefs, later, elapsed, 0.6).progress >= now
    assert rule.evaluate(beliefs, decisions, elapsed + more, 0.6).progress >= now
    assert rule.evaluate(beliefs, decisions, elapsed, 0.7).progress >= now


@pytest.mark.parametrize("rule", [StoppingRule(prob_best=0.999), StoppingRule(prob_best=None, expected_loss=1e-9)])
def test_progress_grows_in_step_with_the_evidence(rule: StoppingRule) -> None:
    """The same rates on twice the data bring the rule about twice as near, as a progress bar should."""
    rule = replace(rule, min_decisions_per_arm=0)
    progress = [
        rule.evaluate(beliefs_of((50 * n, 1000 * n), (51 * n, 1000 * n)), {}, elapsed=0.0).progress for n in (4, 8, 16)
    ]
    assert progress == sorted(progress)
    assert 1.2 < progress[1] / progress[0] < 3.0
    assert 1.2 < progress[2] / progress[1] < 3.0


def test_the_sentence_of_a_winner_names_it_first() -> None:
    rule = StoppingRule(min_decisions=3000, prob_best=0.95, max_duration=7 * DAY)
    beliefs = beliefs_of((50, 1000), (75, 1000), (50, 1000))
    assert rule.evaluate(beliefs, PLENTY, elapsed=DAY).sentence() == (
        "winner: item-2 - its chance of being best is 98% (at least 95% asked for); 3,000 decisions (at least 3,000 "
        "asked for); 1,000 decisions or more for every arm (at least 100); 1 day of at most 7 days have passed"
    )


def test_the_sentence_of_practical_equality_names_what_the_choice_may_cost() -> None:
    rule = StoppingRule(prob_best=0.95, expected_loss=0.0005)
    assert rule.evaluate(NEARLY_TIED, PLENTY, elapsed=0.0).sentence() == (
        "practically equal: item-2 - its chance of being best is 54.1% (below the 95% asked for); its expected loss is "
        "0.034 points (at most 0.05 points allowed); 1,000 decisions or more for every arm (at least 100)"
    )


def test_the_sentence_of_an_open_race_names_what_is_missing() -> None:
    rule = StoppingRule(min_decisions=5000, prob_best=0.95)
    assert rule.evaluate(OPEN, {**PLENTY, "item-3": 40}, elapsed=0.0).sentence() == (
        "undecided, goes on - the leading arm's chance of being best is 78.7% (below the 95% asked for); only 2,040 of "
        "the 5,000 decisions asked for; an arm has only 40 of the 100 decisions asked for"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prob_best": None}, "needs prob_best, effect, expected_loss, prob_better or max_duration"),
        ({"prob_best": 1.01}, "prob_best must be"),
        ({"prob_best": 0.0}, "prob_best must be"),
        ({"expected_loss": 0.0}, "expected_loss must be"),
        ({"prob_better": 1.01}, "prob_better must be"),
        ({"max_duration": 0.0}, "max_duration must be"),
        ({"min_decisions": -1}, "min_decisions must be"),
        ({"min_decisions_per_arm": 0.5}, "min_decisions_per_arm must be"),
        ({"combine": "some"}, "combine must be 'any' or 'all', got 'some'"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StoppingRule(**settings)


def test_a_loss_of_any_numbers_is_no_percentage() -> None:
    beliefs = GaussianBeliefs(("a", "b"), np.array([20.0, 21.0]), np.array([0.5, 0.5]), np.array([50.0, 50.0]))
    verdict = StoppingRule(prob_best=None, expected_loss=2.0).evaluate(beliefs, {"a": 100, "b": 100}, elapsed=0.0)
    assert (verdict.outcome, verdict.arm) == ("practically_equal", "b")
    [loss] = [condition for condition in verdict.conditions if condition.name == "expected_loss"]
    assert loss.value == pytest.approx(float(beliefs.best_arm.expected_loss[1]))
    assert "(at most 2 allowed)" in verdict.sentence()
    assert "point" not in verdict.sentence()
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


def effects_of(*arms: tuple[int, int]) -> Effects:
    """Return the effects after (successes, trials) of each arm under an even split."""
    successes, trials = np.array(arms, dtype=np.float64).T
    return effects(PairSums.of(np.full(len(arms), 1.0 / len(arms)), trials, successes, successes))


def test_an_effect_that_holds_at_all_looks_makes_a_winner() -> None:
    rule = StoppingRule(prob_best=None, effect=EffectCondition(0.95))
    verdict = rule.evaluate(CLEAR, PLENTY, 0.0, effects=effects_of((50, 1000), (120, 1000), (60, 1000)))
    assert (verdict.outcome, verdict.arm, verdict.progress) == ("winner", "item-2", 1.0)
    assert "confirmed" in verdict.sentence()
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


def test_what_convinces_at_one_look_may_not_at_all() -> None:
    arms = (50, 1000), (72, 1000)
    likely = StoppingRule(prob_best=0.95).evaluate(beliefs_of(*arms), PLENTY, 0.0)
    sure = StoppingRule(prob_best=None, effect=EffectCondition()).evaluate(
        beliefs_of(*arms), PLENTY, 0.0, effects=effects_of(*arms)
    )
    assert likely.outcome == "winner"
    assert (sure.outcome, sure.stop) == ("undecided", False)
    assert 0.0 < sure.progress < 1.0


def test_a_least_effect_asks_for_more() -> None:
    arms = (500, 10_000), (700, 10_000)
    small, large = (
        StoppingRule(prob_best=None, effect=EffectCondition(min_effect=least)).evaluate(
            beliefs_of(*arms), {"item-1": 10_000, "item-2": 10_000}, 0.0, effects=effects_of(*arms)
        )
        for least in (0.005, 0.02)
    )
    assert (small.outcome, large.outcome) == ("winner", "undecided")


def test_two_winners_are_none_when_all_are_needed() -> None:
    """What leads on average may be behind by now: P(best) and the effect then name different arms."""
    beliefs, seen = beliefs_of((50, 1000), (120, 1000)), effects_of((900, 5_000), (500, 5_000))
    decisions = {"item-1": 5_000, "item-2": 5_000}
    both = StoppingRule(combine="all", effect=EffectCondition()).evaluate(beliefs, decisions, 0.0, effects=seen)
    assert all(condition.holds for condition in both.conditions)
    assert (both.outcome, both.stop) == ("undecided", False)
    one = StoppingRule(effect=EffectCondition()).evaluate(beliefs, decisions, 0.0, effects=seen)
    assert (one.outcome, one.arm) == ("winner", "item-2")


def test_a_single_arm_has_no_rival_to_beat() -> None:
    rule = StoppingRule(prob_best=None, effect=EffectCondition())
    verdict = rule.evaluate(beliefs_of((900, 5_000)), {"item-1": 5_000}, 0.0, effects=effects_of((900, 5_000)))
    assert (verdict.outcome, verdict.progress) == ("undecided", 0.0)


@pytest.mark.parametrize("given_effects", [None, effects_of((50, 1000), (60, 1000))], ids=["none", "other arms"])
def test_an_effect_needs_its_numbers(given_effects: Effects | None) -> None:
    with pytest.raises(ValueError, match="effects of the arms"):
        StoppingRule(effect=EffectCondition()).evaluate(CLEAR, PLENTY, 0.0, effects=given_effects)


@pytest.mark.parametrize("condition", [{"confidence": 1.0}, {"confidence": 0.0}, {"min_effect": -0.1}])
def test_an_effect_out_of_range_is_refused(condition: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="effect"):
        EffectCondition(**condition)
