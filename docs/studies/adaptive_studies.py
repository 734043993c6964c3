"""What estimates and intervals are worth on logs whose policy learned from them, by simulation with a known truth.

Every study plays experiments of Thompson sampling, which publishes weights every 50 decisions, and returns what each
run came to.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from bandit_core.best_arm import prob_best_many
from bandit_core.guardrails import project
from bandit_core.ope.adaptive import adaptive_arm_values
from bandit_core.ope.confidence_sequence import confidence_sequence
from bandit_core.policies.thompson import Thompson
from bandit_core.simulation import BernoulliEnvironment, Published
from studies.adaptive_simulation import AdaptiveLogs, adaptive_logs

type Floats = NDArray[np.float64]
type Figures = dict[str, Floats]
"""One number, or one row of numbers, per run, by name."""

EVERY: Final = 50
DRAWS: Final = 1_000
"""Posterior samples of a Monte-Carlo propensity."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """Arms with the given mean rewards (n_arms,), and Thompson sampling with a floor under its weights, 0 for none."""

    means: Floats
    floor: float
    decisions: int

    def play(self, runs: int, rng: np.random.Generator) -> AdaptiveLogs:
        """Return the logs of that many runs."""
        strategy = Published(Thompson(), every=EVERY, min_weight=self.floor)
        return adaptive_logs(BernoulliEnvironment(self.means), strategy, decisions=self.decisions, runs=runs, rng=rng)


def study_ipw(experiment: Experiment, *, runs: int, rng: np.random.Generator) -> Figures:
    """Return the error of IPW for the uniform policy, with exact and with Monte-Carlo propensities.

    `exact` and `monte carlo` are errors of the estimate, `ess` and `largest` the effective sample size and the largest
    of the exact weights. `monte carlo bias` is what Monte-Carlo propensities p̂ add to the expected estimate, given the
    weights p of the run: the mean over its decisions of Σ π(a) μ(a) (p(a) / p̂(a) − 1). All are (runs,).
    """
    logs, share = experiment.play(runs, rng), 1.0 / len(experiment.means)
    exact = share / logs.of_chosen(logs.weights)
    simulated = _monte_carlo_weights(logs, experiment.floor, rng)
    estimated = share / logs.of_chosen(simulated)
    excess = (share * experiment.means * (logs.weights / simulated - 1.0)).sum(axis=2)
    truth = experiment.means.mean()
    return {
        "exact": (exact * logs.rewards).mean(axis=1) - truth,
        "monte carlo": (estimated * logs.rewards).mean(axis=1) - truth,
        "monte carlo bias": excess[:, np.arange(experiment.decisions) // logs.every].mean(axis=1),
        "ess": exact.sum(axis=1) ** 2 / (exact**2).sum(axis=1),
        "largest": exact.max(axis=1),
    }


def _monte_carlo_weights(logs: AdaptiveLogs, floor: float, rng: np.random.Generator) -> Floats:
    """Weights as a peer would log them: how often each arm was best in 1,000 posterior samples, projected to the floor.

    Arms are still drawn with the exact probability, as "sample every posterior, take the argmax" does. An arm that was
    never best gets half a draw, since it was played after all.
    """
    runs, looks, n_arms = logs.weights.shape
    exact = prob_best_many(logs.alpha.reshape(-1, n_arms), logs.beta.reshape(-1, n_arms))
    shares = np.maximum(rng.multinomial(DRAWS, exact), 0.5) / DRAWS
    for row in np.nonzero((shares < floor).any(axis=1))[0]:
        shares[row] = project(shares[row] / shares[row].sum(), floor)
    return shares.reshape(runs, looks, n_arms)


def study_arm_values(experiment: Experiment, *, runs: int, rng: np.random.Generator, level: float = 0.95) -> Figures:
    """Return errors and coverage of adaptively weighted arm values, and of plain means with normal intervals.

    `errors`, `covered`, `plain errors` and `plain covered` are (runs, n_arms + 1): the arms in their order, then the
    last arm minus the first.
    """
    logs, n_arms, last = experiment.play(runs, rng), len(experiment.means), len(experiment.means) - 1
    truths = np.array([*experiment.means, experiment.means[last] - experiment.means[0]])
    errors, covered, plain_errors, plain_covered = (np.empty((runs, n_arms + 1)) for _ in range(4))
    z = float(ndtri(0.5 + level / 2.0))
    for run in range(runs):
        log = logs.log(run)
        found = adaptive_arm_values(log, logs.logging(run), floor=experiment.floor)
        estimates = [*(found.value(arm, level) for arm in range(n_arms)), found.contrast(last, 0, level)]
        errors[run] = [each.estimate for each in estimates] - truths
        covered[run] = [each.interval.contains(truth) for each, truth in zip(estimates, truths, strict=True)]
        plays = np.bincount(log.arms, minlength=n_arms)
        means = np.bincount(log.arms, weights=log.rewards, minlength=n_arms) / plays
        variances = means * (1.0 - means) / plays
        plain_errors[run] = [*means, means[last] - means[0]] - truths
        half = z * np.sqrt([*variances, variances[last] + variances[0]])
        plain_covered[run] = np.abs(plain_errors[run]) <= half
    return {"errors": errors, "covered": covered, "plain errors": plain_errors, "plain covered": plain_covered}


def study_confidence_sequence(
    experiment: Experiment,
    target: ArrayLike,
    *,
    knowledge: str,
    delay: int = 0,
    looks: tuple[int, ...] = (),
    runs: int,
    rng: np.random.Generator,
) -> Figures:
    """Return whether the target's value was `outside` (runs,) at any time, and the `widths` (runs, looks) after looks.

    knowledge: "nothing", "floor" or "weights", what is told of the least propensities. delay: how many decisions later
    rewards are known to bets and reward model.
    """
    logs = experiment.play(runs, rng)
    value = float(np.asarray(target) @ experiment.means)
    known = np.maximum(np.arange(experiment.decisions) - delay, 0)
    outside, widths = np.empty(runs), np.empty((runs, len(looks)))
    for run in range(runs):
        least = {"nothing": None, "floor": experiment.floor, "weights": logs.logging(run)}[knowledge]
        found = confidence_sequence(
            logs.log(run), target, least_propensity=least, resolved_before=known, resolution=1e-3
        )
        outside[run] = not found.contains(value)
        widths[run] = (found.upper - found.lower)[np.array(looks, dtype=np.int64) - 1]
    return {"outside": outside, "widths": widths}
