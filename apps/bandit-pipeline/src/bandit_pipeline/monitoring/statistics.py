"""The mathematics of the checks: pure functions of counts."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import norm

BETS: Final = (0.002, 0.01, 0.05, 0.2, 0.5)
"""Shares of its wealth that each gambler stakes; small ones are for arms with small propensities."""


def sample_ratio_p_values(
    arms: NDArray[np.int64], propensities: NDArray[np.float64], decisions: NDArray[np.int64]
) -> dict[int, float]:
    """Return an anytime-valid p-value per arm that it was drawn with the logged propensities, not more often.

    The three arrays (m,) say how many decisions had which arm at which propensity. For every arm k, 1{A = k} / p_k has
    expectation 1 in each decision if propensities are what arms were drawn with, whatever the decisions before were. So
    the wealth of a gambler who stakes a share λ each time, Π (1 + λ (1{A = k} / p_k - 1)), is a positive martingale and
    exceeds 1 / α at any time with probability at most α (Ville 1939): the check may be looked at daily without a
    correction (Shafer 2021, "Testing by betting"; for fixed ratios Lindon and Malek 2022, "Anytime-valid inference for
    multinomial count data"). Stakes are averaged over `BETS`. An arm that is drawn too rarely shows as another that is
    drawn too often; p-values are corrected for the number of arms.

    Only the drawn arm's propensity is needed, which is what is logged; its inverses add up to the expected number of
    decisions.
    """
    total, present = int(decisions.sum()), np.unique(arms)
    values = {}
    for arm in present:
        mine = arms == arm
        wealth = [
            float((decisions[mine] * np.log1p(bet * (1.0 / propensities[mine] - 1.0))).sum())
            + (total - int(decisions[mine].sum())) * np.log1p(-bet)
            for bet in BETS
        ]
        log_wealth = float(logsumexp(wealth)) - np.log(len(BETS))
        values[int(arm)] = float(min(1.0, len(present) * np.exp(-max(log_wealth, 0.0))))
    return values


def normalised_entropy(weights: Sequence[float]) -> float:
    """Return the entropy of weights in units of the largest possible: 1 for equal ones, 0 for all on one arm.

    A single arm has 1: nothing has collapsed.
    """
    shares = np.asarray(weights, dtype=np.float64)
    if len(shares) < 2:
        return 1.0
    positive = shares[shares > 0.0]
    return float(-(positive * np.log(positive)).sum() / np.log(len(shares)))


def drift_p_value(recent: tuple[int, float, float], before: tuple[int, float, float]) -> float:
    """Return the two-sided p-value that two samples of rewards have the same mean (Welch 1947, normal limit).

    A sample is its number, sum and sum of squares. 1 where either has fewer than two rewards, or none differs.
    """
    (n1, mean1, error1), (n2, mean2, error2) = _moments(*recent), _moments(*before)
    spread = error1 + error2
    if min(n1, n2) < 2 or spread == 0.0:
        return 1.0
    return float(2.0 * norm.sf(abs(mean1 - mean2) / np.sqrt(spread)))


def _moments(number: int, total: float, squares: float) -> tuple[int, float, float]:
    """Return the number, the mean, and the squared standard error of the mean."""
    if number < 2:
        return number, total, 0.0
    mean = total / number
    variance = max(0.0, (squares - number * mean * mean) / (number - 1))
    return number, mean, variance / number
