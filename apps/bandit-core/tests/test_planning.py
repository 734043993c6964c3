"""Plans: how experiments are expected to end, checked against the parts they are made of, one run at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.adaptive.effect import effects
from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.power import effect_power
from bandit_core.adaptive.robust_beliefs import rate_beliefs
from bandit_core.allocation import ArmState, allocate
from bandit_core.guardrails import Guardrails, preset, project
from bandit_core.planning import Assumptions, Share, _projected, _steps, plan
from bandit_core.policies.thompson import Thompson
from bandit_core.stopping import EffectCondition, StoppingRule

ASSUMED = Assumptions(
    arms=2, rate=0.2, lift=0.3, traffic=500.0, days=10.0, rule=StoppingRule(), guardrails=preset("explore", 2)
)
EFFECT = StoppingRule(prob_best=None, effect=EffectCondition())


def one_by_one(assumed: Assumptions, runs: int, rng: np.random.Generator) -> list[tuple[str, str | None, int]]:
    """Play runs with the parts of the service: exact beliefs, the allocation of every step, and the rule each time."""
    ended = []
    names = tuple(map(str, range(assumed.arms)))
    means = np.full(assumed.arms, assumed.rate)
    means[-1] *= 1.0 + assumed.lift
    for _ in range(runs):
        sums, weights, before = PairSums.zeros(assumed.arms), dict.fromkeys(names, 1.0 / assumed.arms), 0
        end: tuple[str, str | None, int] = ("undecided", None, assumed.decisions)
        for until in _steps(assumed.decisions):
            vector = np.array(list(weights.values()))
            chosen = rng.multinomial(until - before, vector / vector.sum())
            won = rng.binomial(chosen, means)
            sums, before = sums + PairSums.of(vector, chosen, won, won), until
            beliefs = rate_beliefs(names, sums, np.ones((assumed.arms, 2)))
            decisions = dict(zip(names, map(int, sums.count), strict=True))
            verdict = assumed.rule.evaluate(beliefs, decisions, until / assumed.traffic, effects=effects(sums))
            if verdict.stop:
                end = (verdict.outcome, verdict.arm, until)
                break
            arms = [ArmState(name, 1.0, 1.0, decisions[name]) for name in names]
            weights = allocate(
                arms=arms,
                policy=Thompson(),
                guardrails=assumed.guardrails,
                previous=weights,
                seconds_since_change=1e9,
                beliefs=beliefs,
            ).weights
        ended.append(end)
    return ended


@pytest.mark.parametrize("rule", [StoppingRule(), EFFECT, StoppingRule(prob_best=None, expected_loss=0.002)])
def test_runs_end_as_one_by_one(rule: StoppingRule) -> None:
    assumed, runs = replace(ASSUMED, rule=rule), 25
    ended = one_by_one(assumed, runs, np.random.default_rng(1))
    found = plan(assumed, rng=np.random.default_rng(2), runs=400).better
    for outcome, arms, share in (
        ("winner", ("1",), found.right),
        ("winner", ("0",), found.wrong),
        ("practically_equal", ("0", "1"), found.practically_equal),
        ("undecided", (None,), found.undecided),
    ):
        counted = Share.of(np.array([(each[0], each[1] in arms) == (outcome, True) for each in ended]))
        spread = np.hypot(max(counted.std_error, 1.0 / runs), share.std_error)
        assert abs(counted.value - share.value) <= 4.0 * spread, outcome
    median = float(np.median([each[2] for each in ended])) / assumed.traffic
    if found.median_days is not None and median < assumed.days:
        assert found.median_days == pytest.approx(median, rel=0.5)


def test_the_power_of_an_effect() -> None:
    assumed = replace(ASSUMED, rule=replace(EFFECT, min_decisions_per_arm=0))
    found = plan(assumed, rng=np.random.default_rng(3), runs=500).better.right
    power = effect_power(rate=0.2, lift=0.3, floor=0.1, decisions=5_000, rng=np.random.default_rng(4), arms=2, runs=500)
    assert abs(found.value - power.right) <= 4.0 * np.hypot(found.std_error, power.std_error) + 0.02


def test_equal_arms_lose_nothing() -> None:
    found = plan(ASSUMED, rng=np.random.default_rng(5), runs=50)
    assert found.equal.lost == found.equal.lost_evenly == 0.0
    assert found.equal.right.value == 0.0
    shares = (found.equal.wrong, found.equal.practically_equal, found.equal.undecided)
    assert sum(each.value for each in shares) == pytest.approx(1.0)


def test_an_even_split_loses_half_the_difference() -> None:
    found = plan(
        replace(ASSUMED, even=True, rule=StoppingRule(max_duration=1e9)), rng=np.random.default_rng(6), runs=400
    )
    assert found.better.lost_evenly == pytest.approx(0.2 * 0.3 / 2 * 5_000)
    never = replace(ASSUMED, even=True, rule=StoppingRule(prob_best=None, max_duration=1e9))
    lost = plan(never, rng=np.random.default_rng(7), runs=400).better
    assert abs(lost.lost - lost.lost_evenly) <= 4.0 * lost.lost_std_error


def test_small_steps_lose_more() -> None:
    never = replace(ASSUMED, rule=StoppingRule(prob_best=None, max_duration=1e9))
    slow = replace(never, guardrails=Guardrails(min_weight=0.05, max_step=0.02, cooldown=86_400.0, min_trials=200))
    fast = replace(never, guardrails=Guardrails(min_weight=0.05))
    first, second = (plan(each, rng=np.random.default_rng(8), runs=100).better for each in (slow, fast))
    assert first.lost > second.lost + 3.0 * second.lost_std_error


def test_the_same_generator_gives_the_same_plan_and_tells_its_progress() -> None:
    told: list[float] = []
    first = plan(ASSUMED, rng=np.random.default_rng(9), runs=20, progress=told.append)
    assert first == plan(ASSUMED, rng=np.random.default_rng(9), runs=20)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_rules_longest_duration_is_the_end() -> None:
    assert replace(ASSUMED, rule=StoppingRule(max_duration=86_400.0)).decisions == 500


@given(
    target=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6),
    floor=st.floats(0.0, 0.15),
    step=st.floats(0.05, 1.0),
)
def test_weights_are_projected_as_one_run_is(target: list[float], floor: float, step: float) -> None:
    arms = len(target)
    wanted = np.array(target) / max(sum(target), 1e-9) if sum(target) > 0 else np.full(arms, 1.0 / arms)
    lower = np.maximum(floor, np.full(arms, 1.0 / arms) - step)
    upper = np.minimum(1.0, np.full(arms, 1.0 / arms) + step)
    [found] = _projected(wanted[None], lower[None], upper[None])
    np.testing.assert_allclose(found, project(wanted, lower, upper), atol=1e-9)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"arms": 1}, "arms"),
        ({"arms": 21}, "arms"),
        ({"rate": 0.0}, "rate"),
        ({"lift": 4.1}, "lift"),
        ({"traffic": 0.5}, "traffic"),
        ({"days": 0.0}, "days"),
        ({"guardrails": Guardrails(min_weight=0.6)}, "min_weight"),
        ({"rule": StoppingRule(prob_better=0.9)}, "prob_better"),
    ],
)
def test_what_cannot_be_planned_is_named(changed: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(ASSUMED, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("runs", [9, 5_001])
def test_the_number_of_runs_is_bounded(runs: int) -> None:
    with pytest.raises(ValueError, match="runs"):
        plan(ASSUMED, rng=np.random.default_rng(0), runs=runs)
