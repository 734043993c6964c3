"""Bernoulli environments: many independent runs of an experiment at once, vectorised.

Between two looks at the beliefs the weights do not move, so the arms of the decisions in between are a multinomial
draw and their successes binomial draws: a run costs one step per publication, not one per decision.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bandit_core.best_arm import prob_best_many
from bandit_core.checks import check_whole
from bandit_core.guardrails import project
from bandit_core.policies.base import Beliefs, Policy
from bandit_core.policies.thompson import Thompson

type Counts = NDArray[np.int64]
type Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BernoulliEnvironment:
    """K arms that succeed with fixed probabilities.

    `means` in [0, 1] is (K,), the same for all runs, or (runs, K). The arms are called "0", "1", and so on.
    """

    means: Array

    def __post_init__(self) -> None:
        means = np.array(self.means, dtype=np.float64)
        if means.ndim not in (1, 2) or means.size == 0 or not ((means >= 0.0) & (means <= 1.0)).all():
            raise ValueError(f"means must be probabilities of shape (K,) or (runs, K), got {means.tolist()}")
        means.flags.writeable = False
        object.__setattr__(self, "means", means)

    @property
    def arms(self) -> tuple[str, ...]:
        return arm_ids(self.means.shape[-1])

    @property
    def gaps(self) -> Array:
        """What a decision for each arm costs against the best one, in the shape of `means`."""
        gaps: Array = self.means.max(axis=-1, keepdims=True) - self.means
        return gaps

    def successes(self, trials: Counts, rng: np.random.Generator) -> Counts:
        """Draw the number of successes in `trials` (runs, K) decisions of each arm."""
        return rng.binomial(trials, self.means)


class Strategy(Protocol):
    """How runs choose arms; it looks at the beliefs once every `every` decisions."""

    @property
    def every(self) -> int: ...

    def choose(self, alpha: Array, beta: Array, decisions: int, rng: np.random.Generator) -> Counts:
        """Return how many of the next `decisions` (at most `every`) go to each arm, given beliefs (runs, K)."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """What the platform does: publish a policy's weights, draw from them, and publish anew every `every` decisions.

    Every weight is raised to at least `min_weight`, by projection; InfeasibleLimits is raised when K of them exceed 1.
    """

    policy: Policy
    every: int = 1
    min_weight: float = 0.0

    def __post_init__(self) -> None:
        check_whole("every", self.every, low=1)

    def choose(self, alpha: Array, beta: Array, decisions: int, rng: np.random.Generator) -> Counts:
        return rng.multinomial(decisions, self.weights(alpha, beta))

    def weights(self, alpha: Array, beta: Array) -> Array:
        """Return the weights (runs, K) published for beliefs (runs, K)."""
        weights = self._proposals(alpha, beta)
        for run in np.nonzero((weights < self.min_weight).any(axis=1))[0]:
            weights[run] = project(weights[run], self.min_weight)
        return weights

    def _proposals(self, alpha: Array, beta: Array) -> Array:
        if isinstance(self.policy, Thompson):
            return prob_best_many(alpha, beta)  # Thompson's proposal, for all runs at once.
        arms = arm_ids(alpha.shape[1])
        return np.array([self.policy.propose(Beliefs(arms, *run)).weights for run in zip(alpha, beta, strict=True)])


@dataclass(frozen=True, slots=True, eq=False)
class RunState:
    """Where all runs stand after `decisions` decisions each: trials and successes per arm, (runs, K)."""

    decisions: int
    trials: Counts
    successes: Counts


def run(
    environment: BernoulliEnvironment,
    strategy: Strategy,
    *,
    decisions: int,
    runs: int,
    rng: np.random.Generator,
    prior: tuple[float, float] = (1.0, 1.0),
) -> Iterator[RunState]:
    """Play `runs` independent experiments of `decisions` decisions each; yield a snapshot per look at the beliefs.

    Every arm starts from Beta(`prior`). Rewards are known before the next look.
    """
    check_whole("decisions", decisions, low=1)
    check_whole("runs", runs, low=1)
    if environment.means.ndim == 2 and len(environment.means) != runs:
        raise ValueError(f"The environment has means for {len(environment.means)} runs, but runs is {runs}.")
    alpha, beta = np.float64(prior[0]), np.float64(prior[1])
    trials = np.zeros((runs, len(environment.arms)), dtype=np.int64)
    successes = np.zeros_like(trials)
    for start in range(0, decisions, strategy.every):
        stop = min(start + strategy.every, decisions)
        chosen = strategy.choose(alpha + successes, beta + (trials - successes), stop - start, rng)
        trials, successes = trials + chosen, successes + environment.successes(chosen, rng)
        yield RunState(stop, trials, successes)


def arm_ids(count: int) -> tuple[str, ...]:
    """Return what the arms of a simulation are called: "0", "1", and so on."""
    return tuple(map(str, range(count)))
