"""Two or more arms whose rewards move with time, played under beliefs that pool or that compare within versions.

Each look at the beliefs publishes a version of the weights, and the decisions until the next look are drawn from it.
All runs of a study are played at once, with the functions of bandit_core that the service calls.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.robust_beliefs import rate_parameters
from bandit_core.best_arm import prob_best_many
from bandit_core.normal_arms import normal_prob_best

type Floats = NDArray[np.float64]
type Rates = Callable[[float], Floats]
type Kind = Literal["time_robust", "pooled"]

HORIZON: Final = 20_000
DAY: Final = 4_000
EVERY: Final = 100


type Movement = Literal["static", "rise", "fall", "swing", "swap"]
MOVEMENTS: Final[tuple[Movement, ...]] = ("static", "rise", "fall", "swing")
"""Those in which the better arm stays the better one."""


@dataclass(frozen=True, slots=True)
class World:
    """Rates of arms by time, counted in decisions: the last arm is better by `lift` at every moment.

    In the swap there are two arms of .12 and .10, and after half of the decisions of .08 and .10.
    """

    movement: Movement
    decisions: int = HORIZON
    lift: float = 0.1
    base: float = 0.1
    arms: int = 2

    def __call__(self, at: float) -> Floats:
        if self.movement == "swap":
            return np.array([0.12 if at < self.decisions / 2 else 0.08, 0.10])
        better = np.ones(self.arms)
        better[-1] += self.lift
        return self.base * level(self.movement, at / self.decisions, at / DAY) * better


def level(movement: Movement, share: float, days: float) -> float:
    """Return how high rewards are, on average about 1, after a `share` of all decisions."""
    match movement:
        case "rise":
            return 0.5 + share
        case "fall":
            return 1.5 - share
        case "swing":
            return 1.0 + 0.6 * float(np.sin(2.0 * np.pi * days))
        case _:
            return 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Where all runs stand after `decisions` decisions each.

    `weights` the last version was drawn from; `sums` of all decisions whose rewards are known, and those that came
    with this look alone; `learnt` what beliefs are taken from, faded if there is a half-life; P(best) and regret.
    """

    decisions: int
    weights: Floats
    sums: PairSums
    new: PairSums
    learnt: PairSums
    prob_best: Floats
    regret: Floats


@dataclass(frozen=True, slots=True)
class Design:
    """How an experiment is played.

    Weights are published, and looked at, every `every` decisions, never below `floor`; with 1 / K they stay an even
    split. `half_life` is in decisions. `delay` holds the chance that a reward comes so many looks later: at once unless
    told. P(best) is exact, or that of normal distributions with the same means and variances, which is quicker.
    """

    beliefs: Kind = "time_robust"
    floor: float = 0.01
    every: int = EVERY
    half_life: float | None = None
    delay: tuple[float, ...] = (1.0,)
    exact: bool = True


def play(rates: Rates, design: Design, *, decisions: int, runs: int, rng: np.random.Generator) -> Iterator[Look]:
    """Play `runs` experiments; yield a look after every version."""
    arms = len(rates(0.0))
    prior = np.ones((arms, 2))
    weights = np.full((runs, arms), 1.0 / arms)
    sums = learnt = PairSums.zeros(arms, (runs,))
    waiting = [learnt for _ in design.delay]
    regret = np.zeros(runs)
    kept = 1.0 if design.half_life is None else 0.5 ** (design.every / design.half_life)
    for start in range(0, decisions, design.every):
        now = rates(start + design.every / 2)
        chosen = rng.multinomial(design.every, weights)
        won = rng.binomial(chosen, now)
        regret = regret + chosen @ (now.max() - now)
        came = zip(*(_spread(each, design.delay, rng) for each in (won, chosen - won)), strict=True)
        waiting = [
            known + PairSums.of(weights, good + bad, good, good)
            for known, (good, bad) in zip(waiting, came, strict=True)
        ]
        version, waiting = waiting[0], [*waiting[1:], PairSums.zeros(arms, (runs,))]
        sums = sums + version
        learnt = sums if design.half_life is None else faded(learnt, kept) + version
        best = prob_best(learnt, prior, design)
        yield Look(start + design.every, weights, sums, version, learnt, best, regret)
        weights = floored(best, design.floor)


def prob_best(sums: PairSums, prior: Floats, design: Design) -> Floats:
    """Return P(best) (runs, K) by these beliefs."""
    if design.beliefs == "pooled":
        alpha, beta = prior[:, 0] + sums.total, prior[:, 1] + sums.count - sums.total
    else:
        alpha, beta = rate_parameters(sums, prior, np.ones(len(prior), dtype=np.bool_))
    if design.exact:
        return prob_best_many(alpha, beta)
    return normal_prob_best_of(alpha, beta)


def normal_prob_best_of(alpha: Floats, beta: Floats) -> Floats:
    """Return P(best) (runs, K) of normal distributions with the means and variances of Beta(alpha, beta)."""
    mean = alpha / (alpha + beta)
    variance = mean * (1.0 - mean) / (alpha + beta + 1.0)
    if mean.shape[1] > 2:
        return normal_prob_best(mean, np.sqrt(variance))
    first = ndtr((mean[:, 0] - mean[:, 1]) / np.sqrt(variance.sum(axis=1)))
    return np.stack([first, 1.0 - first], axis=1)


def floored(weights: Floats, floor: float) -> Floats:
    """Return the nearest weights (runs, K) of at least `floor` that sum to 1, as `guardrails.project` does for one."""
    result = np.maximum(weights, floor)
    if floor * weights.shape[1] >= 1.0:
        return np.full_like(weights, 1.0 / weights.shape[1])
    for _ in range(weights.shape[1]):
        free = result > floor
        excess = result.sum(axis=1, keepdims=True) - 1.0
        result = np.where(
            free, np.maximum(result - excess / np.maximum(free.sum(axis=1, keepdims=True), 1), floor), floor
        )
    return result / result.sum(axis=1, keepdims=True)


def faded(sums: PairSums, kept: float) -> PairSums:
    """Return sums that count `kept` times as much."""
    return PairSums(*(kept * getattr(sums, name) for name in PairSums.__slots__))


def _spread(count: NDArray[np.int64], delay: tuple[float, ...], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return how many of the rewards (runs, K) come at each of the next looks."""
    if len(delay) == 1:
        return [count]
    return list(np.moveaxis(rng.multinomial(count, delay), -1, 0))


class FirstWinner:
    """Keeps, for every run, the first arm that was announced and when; −1 as long as there is none."""

    def __init__(self, runs: int) -> None:
        self.arm = np.full(runs, -1)
        self.decisions = np.full(runs, -1)

    def announce(self, holds: NDArray[np.bool_], decisions: int) -> None:
        """Take note of which arms (runs, K) the rule announces at a look; of several the first."""
        new = (self.arm < 0) & holds.any(axis=1)
        self.arm[new] = holds[new].argmax(axis=1)
        self.decisions[new] = decisions

    def share(self, arm: int) -> float:
        return float((self.arm == arm).mean())


def prob_best_holds(
    look: Look, *, threshold: float = 0.95, min_decisions: int = 2_000, per_arm: int = 100
) -> NDArray[np.bool_]:
    """Return which arms (runs, K) a rule on P(best) announces; by default the README's settings."""
    enough = (look.sums.count.min(axis=1, keepdims=True) >= per_arm) & (look.decisions >= min_decisions)
    holds: NDArray[np.bool_] = (look.prob_best >= threshold) & enough
    return holds


def standard_error(share: float, runs: int) -> float:
    return float(np.sqrt(share * (1.0 - share) / runs))
