"""Regret: what a strategy loses against always taking the best arm, over many runs at once."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from bandit_core.checks import check_whole
from bandit_core.simulation import Array, BernoulliEnvironment, Counts, Strategy, run

SAMPLES_IN_MEMORY: Final = 2**20


@dataclass(frozen=True, slots=True)
class PlainThompson:
    """Thompson sampling as in the textbook, the reference: sample every posterior, take the argmax, repeat.

    Thompson 1933; Chapelle and Li 2011, "An empirical evaluation of Thompson sampling", algorithm 2. It looks at the
    beliefs after every decision; with `every` above 1 feedback arrives in batches.
    """

    every: int = 1

    def __post_init__(self) -> None:
        check_whole("every", self.every, low=1)

    def choose(self, alpha: Array, beta: Array, decisions: int, rng: np.random.Generator) -> Counts:
        counts = np.zeros(alpha.shape, dtype=np.int64)
        at_once = max(1, SAMPLES_IN_MEMORY // alpha.size)
        for start in range(0, decisions, at_once):
            samples = rng.beta(alpha, beta, (min(at_once, decisions - start), *alpha.shape))
            counts += (samples.argmax(axis=2)[..., None] == np.arange(alpha.shape[1])).sum(axis=0)
        return counts


@dataclass(frozen=True, slots=True, eq=False)
class Regret:
    """Cumulative pseudo-regret of independent runs.

    Each decision adds (the best arm's mean - the chosen arm's mean), so the noise of rewards does not enter (Bubeck
    and Cesa-Bianchi 2012, "Regret analysis of stochastic and nonstochastic multi-armed bandit problems", section 1).

    `decisions`, `mean` and `std_error` (of the mean) are (T,), one entry per look at the beliefs; `final` is (runs,),
    the regret of each run at the end.
    """

    decisions: Counts
    mean: Array
    std_error: Array
    final: Array

    def at(self, decisions: int) -> tuple[float, float]:
        """Return mean and standard error after that many decisions; ValueError unless the curve has that point."""
        [found] = np.nonzero(self.decisions == decisions)
        if not found.size:
            first = ", ".join(map(str, self.decisions[:3]))
            raise ValueError(f"The curve has no point at {decisions} decisions; its points are {first} and so on.")
        return float(self.mean[found[0]]), float(self.std_error[found[0]])


def simulate(
    environment: BernoulliEnvironment,
    strategy: Strategy,
    *,
    decisions: int,
    runs: int,
    rng: np.random.Generator,
    prior: tuple[float, float] = (1.0, 1.0),
) -> Regret:
    """Return the cumulative pseudo-regret of `runs` (at least 2) independent experiments; see `run`."""
    check_whole("runs", runs, low=2)
    points, gaps = [], environment.gaps
    for snapshot in run(environment, strategy, decisions=decisions, runs=runs, rng=rng, prior=prior):
        regret = (snapshot.trials * gaps).sum(axis=1)
        points.append((snapshot.decisions, regret.mean(), regret.std(ddof=1) / math.sqrt(runs)))
    looks, mean, std_error = map(np.array, zip(*points, strict=True))
    return Regret(looks, mean, std_error, final=regret)
