"""Units that come back: how often equal arms get a winner, with and without the design effect.

Every unit has a success rate of its own, Beta distributed with the intra-unit correlation `icc`. Either all its visits
fall into one version, with one arm. Or they are spread over the whole experiment, and assignment is sticky: of two arms
it is the second if the unit's own random number lies below that arm's weight, as weighted rendezvous hashing does it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit_core.adaptive.design_effect import ClusterSums
from bandit_core.adaptive.effect import effects
from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.robust_beliefs import rate_parameters
from studies.moving_worlds import FirstWinner, Floats, floored, normal_prob_best_of

BOTH = np.ones(2, dtype=np.bool_)
PRIOR = np.ones((2, 2))


@dataclass(frozen=True, slots=True)
class Visits:
    """How units visit: `visits` each, and whether they are spread over the whole experiment."""

    visits: int = 10
    icc: float = 0.2
    rate: float = 0.1
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Repetition:
    """Shares of runs with a winner among equal arms: by `effect` and by P(best), without and with the correction.

    `design_effect` is the mean of the design effects at the end.
    """

    effect: float
    effect_corrected: float
    prob_best: float
    prob_best_corrected: float
    design_effect: float


def repetition(
    units: Visits, *, decisions: int, runs: int, rng: np.random.Generator, floor: float = 0.05, every: int = 100
) -> Repetition:
    """Play `runs` experiments with two equal arms."""
    plain, corrected, likely, likely_corrected = (FirstWinner(runs) for _ in range(4))
    weights, sums = np.full((runs, 2), 0.5), PairSums.zeros(2, (runs,))
    deff = np.ones(runs)
    play = _spread if units.spread else _at_once
    for done, new, clusters in play(units, decisions, every, weights, (runs, rng)):
        sums = sums + new
        level, found = sums.total.sum(axis=1) / sums.count.sum(axis=1), effects(sums)
        deff = np.array(
            [
                ClusterSums(*each).design_effect(rate, rate * (1.0 - rate))
                for each, rate in zip(clusters.tolist(), level.tolist(), strict=True)
            ]
        )
        blown_up = effects(sums, design_effect=deff[:, None, None])
        plain.announce(found.advantage(0.95) > 0.0, done)
        corrected.announce(blown_up.advantage(0.95) > 0.0, done)
        enough = (sums.count.min(axis=1, keepdims=True) >= 100) & (done >= 2_000)
        best, wide = (normal_prob_best_of(*rate_parameters(sums, PRIOR, BOTH, design_effect=d)) for d in (1.0, deff))
        likely.announce((best >= 0.95) & enough, done)
        likely_corrected.announce((wide >= 0.95) & enough, done)
        weights[:] = floored(wide, floor)
    return Repetition(
        effect=1.0 - plain.share(-1),
        effect_corrected=1.0 - corrected.share(-1),
        prob_best=1.0 - likely.share(-1),
        prob_best_corrected=1.0 - likely_corrected.share(-1),
        design_effect=float(deff.mean()),
    )


type Played = Iterator[tuple[int, PairSums, Floats]]
"""Decisions so far, the sums of the new ones, and the fields of ClusterSums (runs, 4) of all so far.

The weights that each step is drawn from are read when it begins.
"""


def _at_once(units: Visits, decisions: int, every: int, weights: Floats, of: tuple[int, np.random.Generator]) -> Played:
    runs, rng = of
    each = every // units.visits
    clusters = np.zeros((runs, 4))
    for start in range(0, decisions, every):
        now = weights.copy()
        second = rng.random((runs, each)) < now[:, 1:]
        won = rng.binomial(units.visits, _rates(units, (runs, each), rng)).astype(np.float64)
        count = units.visits * np.stack([(~second).sum(axis=1), second.sum(axis=1)], axis=1).astype(np.float64)
        total = np.stack([(won * ~second).sum(axis=1), (won * second).sum(axis=1)], axis=1)
        q = np.where(second, now[:, :1], now[:, 1:])
        r, w = q * won, q * units.visits
        clusters = clusters + np.stack([(r * r).sum(1), (r * w).sum(1), (w * w).sum(1), (q * w).sum(1)], axis=1)
        yield start + every, PairSums.of(now, count, total, total), clusters


def _spread(units: Visits, decisions: int, every: int, weights: Floats, of: tuple[int, np.random.Generator]) -> Played:
    """Every unit visits in random order; a cluster is a unit under an arm, over the whole experiment."""
    runs, rng = of
    people = decisions // units.visits
    rates, own = _rates(units, (runs, people), rng), rng.random((runs, people))
    visitor = np.stack([rng.permutation(np.repeat(np.arange(people), units.visits)) for _ in range(runs)])
    r, w = np.zeros((runs, 2 * people)), np.zeros((runs, 2 * people))
    squares, rows = np.zeros(runs), np.arange(runs)[:, None]
    for start in range(0, decisions, every):
        now, who = weights.copy(), visitor[:, start : start + every]
        second = own[rows, who] < now[:, 1:]
        won = (rng.random(who.shape) < rates[rows, who]).astype(np.float64)
        q = np.where(second, now[:, :1], now[:, 1:])
        place = (rows, who + people * second)
        np.add.at(r, place, q * won)
        np.add.at(w, place, q)
        squares = squares + (q * q).sum(axis=1)
        count = np.stack([(~second).sum(axis=1), second.sum(axis=1)], axis=1).astype(np.float64)
        total = np.stack([(won * ~second).sum(axis=1), (won * second).sum(axis=1)], axis=1)
        clusters = np.stack([(r * r).sum(1), (r * w).sum(1), (w * w).sum(1), squares], axis=1)
        yield start + every, PairSums.of(now, count, total, total), clusters


def _rates(units: Visits, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    strength = 1.0 / units.icc - 1.0
    return rng.beta(units.rate * strength, (1.0 - units.rate) * strength, shape)
