"""The vector of a contextual decision beside 1,000 Monte-Carlo draws, and what learning from one reward takes.

Run as `OPENBLAS_NUM_THREADS=1 PYTHONPATH=apps/bandit-core python -m benchmarks.contextual`; it prints a line per
comparison. Times are processor time, in one thread: what else the machine does hardly changes them. The references are
plain numpy in the same process. Draws only estimate the vector: the standard error of a weight, and of the
propensity logged with it, is up to 1.6 percentage points.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import process_time
from timeit import repeat

import numpy as np
from numpy.typing import NDArray

from bandit_core.contextual import LinearBeliefs, LinearThompson, linear_weights
from bandit_core.linear import LinearArm, LinearPrior

type Floats = NDArray[np.float64]

N_ARMS, DIMENSION, REWARDS, DRAWS = 10, 32, 200, 1_000
LARGEST_DIMENSION = 128
MIN_WEIGHT = 0.01
TIMES, CALLS = 25, 40


@dataclass(frozen=True, slots=True)
class Measured:
    """Processor seconds of one call: the least of several series."""

    what: str
    seconds: float
    reference: str
    reference_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.what}: {1e6 * self.seconds:,.0f} µs; {self.reference} {1e6 * self.reference_seconds:,.0f} µs "
            f"({self.reference_seconds / self.seconds:.1f} times)"
        )


def contextual_benchmarks(*, calls: int = CALLS) -> Iterator[Measured]:
    """Measure the vector of linear Thompson sampling, then an update of a model, of the largest there may be too."""
    rng = np.random.default_rng(1)
    models = {str(arm): _learnt(DIMENSION, rng) for arm in range(N_ARMS)}
    beliefs, x, policy = LinearBeliefs.of(models), _context(DIMENSION, rng), LinearThompson(alpha=0.3)
    what = f"the vector for {N_ARMS} arms and d = {DIMENSION}, scores and floor included"
    vector = _best(lambda: linear_weights(policy, beliefs, x, MIN_WEIGHT), calls)
    by_scores = _best(lambda: _by_scores(policy, beliefs, x, rng), calls)
    yield Measured(what, vector, f"{DRAWS:,} draws of scores", by_scores)
    roots = np.linalg.cholesky(beliefs.covariance)
    by_coefficients = _best(lambda: _by_coefficients(policy, beliefs, roots, x, rng), max(1, calls // 10))
    yield Measured(what, vector, f"{DRAWS:,} draws of coefficients", by_coefficients)
    for dimension in (DIMENSION, LARGEST_DIMENSION):
        prior, arm, x = LinearPrior(dimension), _learnt(dimension, rng), _context(dimension, rng)
        update = _best(partial(arm.update, prior, x, 1.0, 0.0), calls)
        anew = _best(partial(_inverted_anew, arm, x), calls)
        yield Measured(f"learning from one reward, d = {dimension}", update, "inverting the precision anew", anew)


def _context(dimension: int, rng: np.random.Generator) -> Floats:
    return np.append(rng.normal(size=dimension - 1), 1.0)


def _learnt(dimension: int, rng: np.random.Generator) -> LinearArm:
    prior = LinearPrior(dimension)
    arm = LinearArm.of(prior)
    for reward in rng.random(REWARDS):
        arm = arm.update(prior, _context(dimension, rng), float(reward), 0.0)
    return arm


def _inverted_anew(arm: LinearArm, x: Floats) -> Floats:
    return np.linalg.inv(arm.precision + np.outer(x, x))


def _by_scores(policy: LinearThompson, beliefs: LinearBeliefs, x: Floats, rng: np.random.Generator) -> Floats:
    mean, sd = beliefs.scores(x)
    return _shares(mean + policy.alpha * sd * rng.standard_normal((DRAWS, N_ARMS)))


def _by_coefficients(
    policy: LinearThompson, beliefs: LinearBeliefs, roots: Floats, x: Floats, rng: np.random.Generator
) -> Floats:
    """As the algorithm is usually written, with the covariances' roots already at hand."""
    noise = roots @ rng.standard_normal((N_ARMS, DIMENSION, DRAWS))
    return _shares((x @ (beliefs.theta[:, :, None] + policy.alpha * noise)).T)


def _shares(scores: Floats) -> Floats:
    shares: Floats = np.bincount(scores.argmax(axis=1), minlength=N_ARMS) / len(scores)
    return (1.0 - N_ARMS * MIN_WEIGHT) * shares + MIN_WEIGHT


def _best(run: Callable[[], object], calls: int) -> float:
    return min(repeat(run, timer=process_time, number=calls, repeat=TIMES)) / calls


if __name__ == "__main__":
    for measured in contextual_benchmarks():
        sys.stdout.write(f"{measured}\n")
