"""P(best) as it is usually computed: by simulation, and by integrating scipy's incomplete beta function."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, special, stats

type Array = NDArray[np.float64]

DRAWS: Final = 100_000
_VALUES_AT_ONCE: Final = 1_000_000
_ACCURACY: Final = 1e-8


def by_simulation(alpha: Array, beta: Array, rng: np.random.Generator) -> Array:
    """Return P(best) (K,) from 100,000 joint draws, in pieces that fit into memory."""
    arms = len(alpha)
    wins = np.zeros(arms)
    left = DRAWS
    while left:
        piece = min(left, max(1, _VALUES_AT_ONCE // arms))
        wins += np.bincount(rng.beta(alpha, beta, size=(piece, arms)).argmax(axis=1), minlength=arms)
        left -= piece
    share: Array = wins / DRAWS
    return share


def by_integration(alpha: Array, beta: Array) -> Array:
    """Return P(best) (K,) = ∫ f_i ∏_{j≠i} F_j by adaptive quadrature of all arms at once, to 1e-8."""
    lowest = float(stats.beta.ppf(1e-12, alpha, beta).max())
    highest = float(stats.beta.ppf(1.0 - 1e-12, alpha, beta).max())
    constant = special.betaln(alpha, beta)

    def integrand(theta: float) -> Array:
        cdf = special.betainc(alpha, beta, theta)
        log_pdf = special.xlogy(alpha - 1.0, theta) + special.xlog1py(beta - 1.0, -theta) - constant
        density: Array = np.exp(log_pdf) * cdf.prod() / cdf
        return density

    result: Array = integrate.quad_vec(integrand, lowest, highest, epsabs=_ACCURACY, epsrel=_ACCURACY, norm="max")[0]
    return result
