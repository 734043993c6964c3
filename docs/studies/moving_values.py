"""Two arms with normal rewards whose level moves, under beliefs that pool or that compare within versions."""

from typing import Final

import numpy as np
from scipy.special import ndtr

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.robust_beliefs import value_parameters
from bandit_core.gaussian import GaussianPrior
from studies.moving_winners import Winners
from studies.moving_worlds import DAY, FirstWinner, Floats, Kind, Movement, floored, level

BOTH = np.ones(2, dtype=np.bool_)
PRIOR: Final = GaussianPrior()


def value_winners(
    movement: Movement,
    size: float,
    beliefs: Kind,
    *,
    advantage: float,
    decisions: int,
    runs: int,
    rng: np.random.Generator,
    floor: float = 0.01,
    every: int = 100,
) -> Winners:
    """Announce winners by P(best) ≥ 0.95 from 2,000 decisions on, 100 of each arm; the second arm is the better one.

    The first arm's mean is `size` on average, in standard deviations, and rises and falls as `movement` says. With
    hundreds of degrees of freedom P(best) is that of normal distributions.
    """
    sums, weights = PairSums.zeros(2, (runs,)), np.full((runs, 2), 0.5)
    announced, regret = FirstWinner(runs), np.zeros(runs)
    for start in range(0, decisions, every):
        count = rng.multinomial(every, weights).astype(np.float64)
        now = start + every / 2
        mean = size * level(movement, now / decisions, now / DAY) + np.array([0.0, advantage])
        total, squares = _normal_sums(mean, count, rng)
        regret = regret + count[:, 0] * advantage
        sums = sums + PairSums.of(weights, count, total, squares)
        best = _prob_best(sums, beliefs)
        enough = (sums.count.min(axis=1, keepdims=True) >= 100) & (start + every >= 2_000)
        announced.announce((best >= 0.95) & enough, start + every)
        weights = floored(best, floor)
    return Winners(announced.share(1), announced.share(0), regret)


def _normal_sums(mean: Floats, count: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw sums and sums of squares of `count` normal rewards of variance 1, by their joint distribution."""
    total = mean * count + np.sqrt(count) * rng.standard_normal(count.shape)
    around = np.where(count > 1.0, rng.chisquare(np.maximum(count - 1.0, 1.0)), 0.0)
    return total, around + total**2 / np.maximum(count, 1.0)


def _prob_best(sums: PairSums, beliefs: Kind) -> Floats:
    if beliefs == "pooled":
        strength = PRIOR.strength + sums.count
        mean, variance = sums.total / strength, 1.0 / strength
    else:
        mean, scale, _ = value_parameters(sums, PRIOR, BOTH)
        variance = scale**2
    first = ndtr((mean[:, 0] - mean[:, 1]) / np.sqrt(variance.sum(axis=1)))
    return np.stack([first, 1.0 - first], axis=1)
