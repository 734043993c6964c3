"""Values of arms from an adaptive log: doubly robust scores, weighted so that their mean is asymptotically normal.

Hadad, Hirshberg, Zhan, Wager and Athey 2021, "Confidence intervals for policy evaluation in adaptive experiments"
(PNAS 118(15)). Of an arm a with the propensity e_t(a) at decision t, the score

    Γ_t(a) = q̂_t(a) + 1{A_t = a} / e_t(a) · (R_t − q̂_t(a))

has the arm's mean reward as its mean, given the past, but a variance of about 1 / e_t(a), which swings with what the
experiment has learned: plain means of scores have heavy tails. The paper's adaptively weighted estimator is

    Q̂(a) = Σ h_t Γ_t / Σ h_t,        V̂(a) = Σ h_t² (Γ_t − Q̂)² / (Σ h_t)²,

and (Q̂ − Q) / √V̂ is asymptotically standard normal when the weights stabilise the variance. Here
h_t(a) = √e_t(a): the paper's constant allocation rate, by which every decision brings the same share of the variance.
For a floor under the propensities that does not fall with time the paper's two-point allocation gives the same
weights.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from bandit_core.checks import check_number
from bandit_core.ope.decision_order import check_resolved_before
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.result import ConfidenceInterval, check_level
from bandit_core.ope.running_means import running_means

type Floats = NDArray[np.float64]

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class StudentizedEstimate:
    """An estimate in units of the reward, its standard error, and estimate ± z standard errors."""

    estimate: float
    std_error: float
    interval: ConfidenceInterval


@dataclass(frozen=True, eq=False)
class AdaptiveArmValues:
    """Mean rewards (n_arms,) as estimated, and the covariance (n_arms, n_arms) of their errors."""

    estimates: Floats
    covariance: Floats

    def value(self, arm: int, level: float = 0.95) -> StudentizedEstimate:
        """Return the mean reward of an arm."""
        return _studentized(self.estimates[arm], self.covariance[arm, arm], level)

    def contrast(self, arm: int, other: int, level: float = 0.95) -> StudentizedEstimate:
        """Return the mean reward of an arm minus that of another."""
        variance = self.covariance[arm, arm] + self.covariance[other, other] - 2.0 * self.covariance[arm, other]
        return _studentized(self.estimates[arm] - self.estimates[other], variance, level)


def adaptive_arm_values(
    log: LoggedDecisions, logging: ArrayLike, *, floor: float, resolved_before: ArrayLike | None = None
) -> AdaptiveArmValues:
    """Return adaptively weighted doubly robust estimates of every arm's mean reward.

    log: decisions in the order in which they were made, all of them resolved: cut it at the oldest decision whose
    reward window is open. logging (n, n_arms): the probabilities the logging policy gave to all arms.

    floor: what every arm's probability was at least in every decision, in (0, 1 / n_arms]: the experiment's
    `min_weight`. Without one an arm may be left alone after a bad start; its value then rests on chance, and neither
    estimate nor interval would hold.

    resolved_before: (n,), how many of the first decisions were all resolved when each one was made, as
    `bandit_core.ope.decision_order.resolved_before` gives it; q̂ uses those and no others. By default every reward was
    known before the next decision. q̂ is the running mean of each arm.

    ValueError where there is no floor or a probability lies below it, where `logging` contradicts the log, and for a
    log with positions (take one: `log.rows(log.positions == position)` without its positions).
    """
    if log.positions is not None:
        raise ValueError("arms have a value per position: give the rows of one position, as a log without positions")
    probabilities = _probabilities(log, logging, floor)
    q_hat = running_means(log, check_resolved_before(resolved_before, len(log)), start=0.0)
    rows = np.arange(len(log))
    scores = q_hat.copy()
    scores[rows, log.arms] += (log.rewards - q_hat[rows, log.arms]) / log.propensities
    weights = np.sqrt(probabilities)
    weights /= weights.sum(axis=0)
    estimates = (weights * scores).sum(axis=0)
    deviations = weights * (scores - estimates)
    return AdaptiveArmValues(estimates, deviations.T @ deviations)


def _probabilities(log: LoggedDecisions, logging: ArrayLike, floor: float) -> Floats:
    check_number("floor", floor, low=0.0, exclusive=True)
    probabilities = np.asarray(logging, dtype=np.float64)
    if probabilities.shape != (len(log), log.n_arms):
        raise ValueError(f"logging must have shape ({len(log)}, {log.n_arms}), got {probabilities.shape}")
    chosen = probabilities[np.arange(len(log)), log.arms]
    if (differs := ~np.isclose(chosen, log.propensities, rtol=ROUNDING, atol=0.0)).any():
        row = int(np.argmax(differs))
        raise ValueError(
            f"logging gives the arm of row {row} the probability {chosen[row]:g}, its propensity is "
            f"{log.propensities[row]:g}"
        )
    if not probabilities.min() >= floor * (1.0 - ROUNDING):
        row, arm = divmod(int(np.argmin(probabilities)), log.n_arms)
        raise ValueError(
            f"arm {arm} has the probability {probabilities[row, arm]:g} in row {row}, below the floor {floor:g}: an "
            "arm that may be left alone has no asymptotically normal estimate. Log with a min_weight, or use a "
            "confidence sequence"
        )
    return probabilities


def _studentized(estimate: float, variance: float, level: float) -> StudentizedEstimate:
    check_level(level)
    std_error = math.sqrt(variance)
    half = float(ndtri(0.5 + level / 2.0)) * std_error
    return StudentizedEstimate(
        float(estimate), std_error, ConfidenceInterval(estimate - half, estimate + half, level, "studentized")
    )
