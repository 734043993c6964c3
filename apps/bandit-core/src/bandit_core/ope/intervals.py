"""Confidence intervals for off-policy estimates on independent rounds: normal, and empirical Bernstein.

For adaptively logged rounds use an anytime-valid confidence sequence (`bandit_core.ope.confidence_sequence`).
"""

import math
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bandit_core.ope.estimators import Method
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.moments import Moments
from bandit_core.ope.result import ConfidenceInterval, check_level
from bandit_core.ope.rounds import EvaluationInput
from bandit_core.ope.tables import ArmValues

UNBIASED_MEANS: Final = ("ipw", "dr")
"""Methods whose estimate is a mean of independent, unbiased, bounded contributions."""


def normal_interval(moments: Moments, level: float) -> ConfidenceInterval | None:
    """Return estimate ± z standard errors; None where there is no standard error.

    Holds for many rewarded rounds. With few it covers too rarely: rounds of large weight are missing from most logs,
    and with them from the standard error.
    """
    check_level(level)
    if math.isnan(moments.std_error):
        return None
    half = float(ndtri(0.5 + level / 2.0)) * moments.std_error
    return ConfidenceInterval(moments.estimate - half, moments.estimate + half, level, kind="normal")


def empirical_bernstein_interval(
    log: LoggedDecisions,
    target: ArmValues,
    *,
    method: str,
    max_weight: float,
    q_hat: ArmValues | None = None,
    rewards: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
) -> ConfidenceInterval:
    """Return an interval for the target's mean reward that holds at any n, by ipw or dr without clipping.

    Maurer and Pontil 2009, "Empirical Bernstein bounds and sample-variance penalization", theorem 4, on both sides:
    estimate ± (√(2 V ln(4/δ) / n) + 7 b ln(4/δ) / (3 (n − 1))), with V the sample variance of what rounds contribute,
    b the width of their range, δ = 1 − level. Cut to the range of the rewards, in which the mean lies.

    max_weight: the largest weight that can occur, known beforehand (for uniform logging n_arms times the largest target
    probability); the largest that did occur would make the interval too narrow. rewards: the range of rewards, and of
    q_hat. ValueError when a weight, a reward or a q̂ lies outside, for an adaptive log, and for another method.
    """
    check_level(level)
    if method not in UNBIASED_MEANS:
        raise ValueError(f"the empirical Bernstein interval is for {' and '.join(UNBIASED_MEANS)}, got {method!r}")
    if log.adaptive:
        raise ValueError(
            "the empirical Bernstein interval supposes independent rounds, and this log's policy learned from its own "
            "rewards: use a confidence sequence"
        )
    evaluation = EvaluationInput.of(log, target, q_hat)
    _check_range("a reward", log.rewards, rewards)
    if method == "dr" and evaluation.q_hat is not None:
        _check_range("q_hat", evaluation.q_hat.values, rewards)
    chosen = Method(method)
    moments = reduce(Moments.merge, (Moments.of(part, chosen.contribute(part)) for part in evaluation.blocks()))
    if moments.largest_weight > max_weight:
        raise ValueError(f"max_weight must bound every weight, got {max_weight:g}; one is {moments.largest_weight:g}")
    if moments.n == 1:
        raise ValueError("the empirical Bernstein interval needs at least two decisions, got one")
    low, high = rewards
    widest = (1.0 + 2.0 * max_weight) * (high - low)
    width = widest if method == "dr" else max_weight * (max(high, 0.0) - min(low, 0.0))
    n, log_term = moments.n, math.log(4.0 / (1.0 - level))
    variance = moments.variance(np.array([1.0, 1.0, 0.0]))
    half = math.sqrt(2.0 * variance * log_term / n) + 7.0 * width * log_term / (3.0 * (n - 1))
    below, above = max(moments.estimate - half, low), min(moments.estimate + half, high)
    if below > above:
        raise ValueError(
            f"the whole interval, {moments.estimate:g} ± {half:g}, lies outside of rewards={rewards}: the logged "
            "propensities are not those the arms were chosen with"
        )
    return ConfidenceInterval(below, above, level, kind="empirical Bernstein")


def _check_range(name: str, values: NDArray[np.float64], within: tuple[float, float]) -> None:
    low, high = float(values.min()), float(values.max())
    if low < within[0] or high > within[1]:
        outside = low if low < within[0] else high
        raise ValueError(f"{name} of {outside:g} lies outside of rewards={within}: give the range that holds for all")
