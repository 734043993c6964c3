"""How likely the effect condition is to find a winner: before the experiment, by simulation of it.

A better arm is played against K − 1 equal ones under Thompson sampling on time-robust beliefs, with the floor and the
effect condition that are asked about. Weights are published, and looked at, in steps that grow with time, so that 500
runs take about a quarter of a second. An experiment that is looked at more often finds a little more:
docs/statistics.md compares both.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bandit_core.adaptive.effect import effects
from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.robust_beliefs import rate_parameters
from bandit_core.checks import check_number, check_whole
from bandit_core.normal_arms import normal_prob_best

type Array = NDArray[np.float64]

STEPS: Final = 240
FIRST: Final = 100


@dataclass(frozen=True, slots=True)
class Power:
    """What the effect condition does by the end: shares of runs that announce the better arm, or another one.

    `std_error` is that of `right`. `median` is the number of decisions by which half of all runs have announced the
    better arm, None if fewer do.
    """

    right: float
    wrong: float
    std_error: float
    median: int | None


def effect_power(
    *,
    rate: float,
    lift: float,
    floor: float,
    decisions: int,
    rng: np.random.Generator,
    arms: int = 2,
    confidence: float = 0.95,
    min_effect: float = 0.0,
    runs: int = 500,
) -> Power:
    """Return the power of the effect condition where one of `arms` has `rate` · (1 + `lift`), the others `rate`.

    `floor` is the least weight of an arm, 1 / `arms` or more for an even split; `decisions` is the traffic until the
    end. ValueError for values out of range.
    """
    check_number("rate", rate, low=0.0, high=1.0, exclusive=True)
    check_number("lift", lift, low=0.0, high=1.0 / rate - 1.0)
    check_number("floor", floor, low=0.0, high=1.0)
    for name, whole, low in (("decisions", decisions, 1), ("arms", arms, 2), ("runs", runs, 2)):
        check_whole(name, whole, low=low)
    means = np.full(arms, rate)
    means[-1] *= 1.0 + lift
    weights = np.full((runs, arms), 1.0 / arms)
    sums = PairSums.zeros(arms, (runs,))
    announced, when = np.full(runs, -1), np.full(runs, decisions + 1)
    least = min(floor, 1.0 / arms)
    before = 0
    for until in _steps(decisions):
        chosen = rng.multinomial(until - before, weights)
        won = rng.binomial(chosen, means)
        sums = sums + PairSums.of(weights, chosen, won, won)
        ahead = effects(sums).advantage(confidence) > min_effect
        new = (announced < 0) & ahead.any(axis=1)
        announced[new], when[new], before = ahead[new].argmax(axis=1), until, until
        weights = _raised(_prob_best(sums), least)
    right = announced == arms - 1
    share = float(right.mean())
    times = np.sort(np.where(right, when, decisions + 1))
    median = int(times[(runs - 1) // 2])
    return Power(
        right=share,
        wrong=float(((announced >= 0) & ~right).mean()),
        std_error=float(np.sqrt(share * (1.0 - share) / runs)),
        median=median if median <= decisions else None,
    )


def _steps(decisions: int) -> list[int]:
    if decisions <= FIRST:
        return [decisions]
    return sorted({round(each) for each in np.geomspace(FIRST, decisions, STEPS).tolist()})


def _prob_best(sums: PairSums) -> Array:
    """Return P(best) (runs, K), by normal distributions with the mean and variance of each arm's beliefs."""
    arms = sums.count.shape[-1]
    alpha, beta = rate_parameters(sums, np.ones((arms, 2)), np.ones(arms, dtype=np.bool_))
    strength = alpha + beta
    mean = alpha / strength
    variance = mean * (1.0 - mean) / (strength + 1.0)
    if arms > 2:
        return normal_prob_best(mean, np.sqrt(variance))
    first = ndtr((mean[:, 0] - mean[:, 1]) / np.sqrt(variance.sum(axis=1)))
    return np.stack([first, 1.0 - first], axis=1)


def _raised(weights: Array, least: float) -> Array:
    """Return weights of at least `least` that sum to 1: what exceeds it keeps its proportions."""
    spare = np.maximum(weights - least, 0.0)
    left = 1.0 - least * weights.shape[1]
    total = spare.sum(axis=1, keepdims=True)
    raised: Array = least + left * np.where(total > 0.0, spare / np.maximum(total, 1e-300), 1.0 / weights.shape[1])
    return raised
