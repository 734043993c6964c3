"""The mathematics of the checks: pure functions of counts."""

import numpy as np
from scipy.stats import norm


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
