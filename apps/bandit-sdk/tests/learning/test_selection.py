from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.policies import make_policy
from bandit_core.policies.base import Beliefs
from bandit_core.slates import slate_probability
from bandit_sdk.learning import Arm, PolicyStrategy, SelectionResult, Strategy, ThompsonSampling
from bandit_sdk.learning.selection import Selector

ARMS = [Arm("a", 10), Arm("b", 20), Arm("c", 30), Arm("d", 40)]
BELIEFS = Beliefs(tuple("abcd"), np.array([3.0, 5.0, 2.0, 4.0]), np.array([5.0, 4.0, 2.0, 8.0]))
EPSILON = PolicyStrategy(make_policy("epsilon_greedy", {"epsilon": 0.3}))


def select(
    k: int = 1,
    max_tokens: int | None = None,
    *,
    rng: np.random.Generator,
    strategy: Strategy | None = None,
    baseline_rate: float = 0.0,
) -> SelectionResult:
    selector = Selector(strategy or ThompsonSampling(), baseline_rate, rng)
    return selector.select(ARMS, BELIEFS, k=k, max_tokens=max_tokens)


def names(result: SelectionResult) -> tuple[str, ...]:
    return tuple(arm.id for arm in result.selected)


def test_one_arm_is_drawn_with_its_probability_of_being_best(rng: np.random.Generator) -> None:
    result = select(rng=rng)
    expected = dict(zip(BELIEFS.arms, BELIEFS.best_arm.prob_best, strict=True))
    assert result.propensity == pytest.approx(expected[names(result)[0]])
    assert result.propensities == (result.propensity,)


def test_several_arms_are_the_ranking_of_one_sample(rng: np.random.Generator) -> None:
    result = select(3, rng=rng)
    order = ["abcd".index(name) for name in names(result)]
    assert result.propensity == pytest.approx(slate_probability(BELIEFS.alpha, BELIEFS.beta, order, 0.0))


@pytest.mark.parametrize(
    ("k", "max_tokens", "strategy", "baseline_rate"),
    [
        (1, None, ThompsonSampling(), 0.2),
        (2, None, ThompsonSampling(), 0.2),
        (2, 45, ThompsonSampling(), 0.2),
        (2, None, EPSILON, 0.0),
    ],
)
def test_selections_come_as_often_as_their_propensity_says(
    k: int, max_tokens: int | None, strategy: Strategy, baseline_rate: float, rng: np.random.Generator
) -> None:
    rounds = 700
    seen: Counter[tuple[str, ...]] = Counter()
    propensity = {}
    for _ in range(rounds):
        result = select(k, max_tokens, rng=rng, strategy=strategy, baseline_rate=baseline_rate)
        seen[names(result)] += 1
        propensity[names(result)] = result.propensity
        assert np.prod(result.propensities) == pytest.approx(result.propensity)
    for chosen, p in propensity.items():
        assert abs(seen[chosen] - rounds * p) <= 4.5 * (rounds * p * (1 - p)) ** 0.5 + 1, chosen
    # What can come has probabilities that sum to 1, but for what is too rare to have come.
    assert sum(propensity.values()) == pytest.approx(1.0, abs=0.02)


def test_the_baseline_share_is_drawn_evenly_and_marked(rng: np.random.Generator) -> None:
    drawn = [select(rng=rng, baseline_rate=0.25) for _ in range(1_000)]
    baseline = [result for result in drawn if result.is_baseline]
    assert abs(len(baseline) - 250) < 4 * (1_000 * 0.25 * 0.75) ** 0.5
    counts = Counter(names(result)[0] for result in baseline)
    assert all(abs(counts[arm] - len(baseline) / 4) < 4 * (len(baseline) * 3 / 16) ** 0.5 for arm in "abcd")
    least = min(result.propensity for result in drawn)
    assert least >= 0.25 / 4


@pytest.mark.parametrize("budget", [0, 10, 35, 60, 100])
def test_a_selection_stays_within_its_token_budget(budget: int, rng: np.random.Generator) -> None:
    for _ in range(20):
        result = select(4, budget, rng=rng)
        assert result.used_tokens == sum(arm.token_cost for arm in result.selected) <= budget
        left = [arm for arm in ARMS if arm not in result.selected]
        assert all(arm.token_cost > budget - result.used_tokens for arm in left)


def test_a_budget_that_fits_nothing_selects_nothing(rng: np.random.Generator) -> None:
    result = select(2, 5, rng=rng)
    assert (result.selected, result.propensities, result.propensity) == ((), (), 1.0)


def test_more_than_there_are_selects_all(rng: np.random.Generator) -> None:
    assert sorted(names(select(9, rng=rng))) == list("abcd")


def test_a_strategy_must_weigh_every_arm(rng: np.random.Generator) -> None:
    class Broken:
        def weights(self, _: Beliefs) -> NDArray[np.float64]:
            return np.ones(1)

    with pytest.raises(ValueError, match=r"shape \(1,\) for 4 arms"):
        select(rng=rng, strategy=Broken())
