"""Does traffic split as it should? A test that may be looked at as often as one likes.

Lindon and Malek 2022, "Anytime-valid inference for multinomial count data" (NeurIPS): under the intended shares p the
counts n have the Bayes factor of a Dirichlet(strength · p) alternative

    B = Γ(a) / Γ(a + N) ∏ Γ(a p_i + n_i) / Γ(a p_i) / ∏ p_i^{n_i},      a = strength,

which is a martingale with mean 1. By Ville's inequality it ever exceeds 1 / α with a probability of at most α, so
min(1, 1 / B) is a p-value at whatever moment one stops.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum

import numpy as np
from scipy.special import gammaln

from bandit_core.checks import check_number

SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Counts beside what was expected, and the anytime-valid p-value of their mismatch."""

    observed: Mapping[str, int]
    expected: Mapping[str, float]
    p_value: float


def sample_ratio(observed: Mapping[str, int], shares: Mapping[str, float], strength: float = 100.0) -> SampleRatio:
    """Return the test of counts against the shares they should have, which are positive and sum to 1.

    A larger `strength` looks for smaller deviations in more data. ValueError for other names on both sides, shares that
    are not positive or do not sum to 1, or counts below 0.
    """
    check_number("strength", strength, low=0.0, exclusive=True)
    if observed.keys() != shares.keys() or not shares:
        raise ValueError("observed and shares must name the same groups")
    if not all(share > 0.0 for share in shares.values()) or not abs(fsum(shares.values()) - 1.0) <= SUM_TOLERANCE:
        raise ValueError("shares must be positive and add up to 1")
    if not all(count >= 0 for count in observed.values()):
        raise ValueError("counts must be at least 0")
    names = list(shares)
    counts = np.array([observed[name] for name in names], dtype=np.float64)
    share = np.array([shares[name] for name in names])
    prior, total = strength * share, counts.sum()
    log_factor = (
        gammaln(strength) - gammaln(strength + total) + (gammaln(prior + counts) - gammaln(prior)).sum()
        - counts @ np.log(share)
    )  # fmt: skip
    expected = dict(zip(names, (share * total).tolist(), strict=True))
    return SampleRatio(dict(observed), expected, float(np.exp(-max(0.0, log_factor))))
