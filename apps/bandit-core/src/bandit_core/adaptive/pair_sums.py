"""Sums over decisions from which two arms can be compared fairly although the weights moved.

Decisions drawn from one vector of weights w form a version. For an ordered pair of arms (i, j) a decision of arm i
counts with the overlap weight

    q_ij = w_j / (w_i + w_j)                            (Li, Morgan and Zaslavsky 2018, "Balancing covariates via
                                                         propensity score weighting", JASA 113)

of its version. Of the n decisions of a version, n w_i go to arm i and n w_j to arm j on average, so both arms of a pair
get the same weight n w_i w_j / (w_i + w_j) in time, and what moves the rewards of both cancels. q is at most 1, so no
floor is needed and no weight explodes. The sums of a pair are Σq, Σqr, Σq², Σq²r and Σq²r² over decisions of arm i.

For a comparison of all arms at once the same decisions are centred on their version: with n_v decisions and rewards
s_v in all, a version adds n_i − w_i n_v, s_i − w_i s_v, and its information n_v (diag(w) − w wᵀ). That is least squares
with an effect for each version and each arm (two-way fixed effects), with the known weights in the place of realised
shares: so a version of a single decision, from which realised shares would learn nothing, counts as well.

Sums add in any order. Decisions over a subset of the arms form a version of their own, with the weights they
were drawn with and 0 for the other arms. Decisions of a context's own vector stay out: no two share a version.
"""

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Array = NDArray[np.float64]

NANO: Final = 10**9
"""Weights and overlap weights are rounded to billionths once, so that sums of them can be exact (`period_sums`)."""

SAME: Final = 1e-9
"""Weights have not moved as long as n_e / n is this close to 1: the squared variation of q, relative to its mean."""

VALUES_AT_ONCE: Final = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class PairSums:
    """Sums of K arms (..., K) and of their ordered pairs (..., K, K), the first arm's decisions in the rows.

    Leading axes are sets of sums of their own: versions, periods, or runs of a simulation. Amounts are in rewards.

    Attributes:
        count: Decisions with a reward, n.
        total: Their rewards, Σr.
        squares: Σr².
        q: Σq of each pair; on the diagonal 0, here and in the next four.
        qr: Σqr.
        q2: Σq².
        q2r: Σq²r.
        q2r2: Σq²r².
        centred_count: Σ (n_i − w_i n_v) over versions v.
        centred_total: Σ (s_i − w_i s_v).
        information: Σ n_v (diag(w) − w wᵀ).
    """

    count: Array
    total: Array
    squares: Array
    q: Array
    qr: Array
    q2: Array
    q2r: Array
    q2r2: Array
    centred_count: Array
    centred_total: Array
    information: Array

    @classmethod
    def of(cls, weights: ArrayLike, count: ArrayLike, total: ArrayLike, squares: ArrayLike) -> Self:
        """Return the sums of versions, each apart: all arguments are (..., K).

        `weights` of a version sum to 1; an arm that could not be drawn has 0. A version with unknown weights,
        such as rewards that were given for an arm directly, has NaN: its own shares of `count` take their place.
        ValueError for shapes that differ or weights below 0.
        """
        given = [np.asarray(each, dtype=np.float64) for each in (weights, count, total, squares)]
        if len({each.shape for each in given}) != 1 or given[0].ndim == 0:
            raise ValueError(f"weights, count, total and squares must have one shape (..., K), got {given[0].shape}")
        w, n, s, t = given
        w = rounded_weights(w, n)
        q = overlap_weights(w) / NANO
        q2 = q * q
        share = w / NANO
        decisions, rewards = n.sum(axis=-1, keepdims=True), s.sum(axis=-1, keepdims=True)
        between = -decisions[..., None] * share[..., :, None] * share[..., None, :]
        return cls(
            count=n,
            total=s,
            squares=t,
            q=q * n[..., None],
            qr=q * s[..., None],
            q2=q2 * n[..., None],
            q2r=q2 * s[..., None],
            q2r2=q2 * t[..., None],
            centred_count=n - share * decisions,
            centred_total=s - share * rewards,
            information=_with_zero_row_sums(between),
        )

    @classmethod
    def of_versions(cls, weights: ArrayLike, count: ArrayLike, total: ArrayLike, squares: ArrayLike) -> Self:
        """Return the sums of V versions together; all arguments are (V, K), see `of`. Memory stays bounded."""
        w, n, s, t = (np.asarray(each, dtype=np.float64) for each in (weights, count, total, squares))
        result = cls.zeros(n.shape[-1])
        at_once = max(1, VALUES_AT_ONCE // n.shape[-1] ** 2)
        for start in range(0, len(n), at_once):
            part = slice(start, start + at_once)
            result += cls.of(w[part], n[part], s[part], t[part]).summed()
        return result

    @classmethod
    def zeros(cls, arms: int, leading: tuple[int, ...] = ()) -> Self:
        """Return the sums of nothing."""
        one, two = np.zeros((*leading, arms)), np.zeros((*leading, arms, arms))
        return cls(one, one, one, two, two, two, two, two, one, one, two)

    def __add__(self, other: "PairSums") -> Self:
        return type(self)(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def summed(self, factors: Array | None = None) -> Self:
        """Return the sums over the first axis, each set multiplied by its factor (V,), 1 unless given."""
        if factors is None:
            return type(self)(*(getattr(self, each.name).sum(axis=0) for each in fields(self)))
        return type(self)(*(np.tensordot(factors, getattr(self, each.name), axes=1) for each in fields(self)))

    def running(self) -> Self:
        """Return the sums of the first set, of the first two, and so on, along the first axis."""
        return type(self)(*(getattr(self, each.name).cumsum(axis=0) for each in fields(self)))

    def subset(self, chosen: ArrayLike) -> Self:
        """Return the sums of the chosen arms, indices or a mask (K,).

        Pairs know only their two arms and stay as they are; what is centred stays centred on all arms.
        """
        keep = np.arange(self.count.shape[-1])[np.asarray(chosen)]
        pairs = ("q", "qr", "q2", "q2r", "q2r2", "information")
        return type(self)(
            *(
                getattr(self, each.name)[..., keep[:, None], keep]
                if each.name in pairs
                else getattr(self, each.name)[..., keep]
                for each in fields(self)
            )
        )

    @property
    def mean(self) -> Array:
        """Mean reward of arm i (..., K, K) at the times at which i and j were both drawn; 0 without a decision."""
        return _ratio(self.qr, self.q)

    @property
    def effective_size(self) -> Array:
        """How many decisions of equal weight say as much as those of arm i beside j: n_e = (Σq)² / Σq² (Kish 1965)."""
        return _ratio(self.q * self.q, self.q2)

    @property
    def has_moved(self) -> NDArray[np.bool_]:
        """Whether the weights of arms with rewards have moved against each other (...), or did not overlap at all.

        By the Cauchy–Schwarz inequality (Σq)² <= n Σq², with equality only where q never changed.
        """
        bound = (1.0 - SAME) * self.q2 * self.count[..., None]
        compared = (self.count[..., :, None] > 0.0) & (self.count[..., None, :] > 0.0)
        compared &= ~np.eye(self.count.shape[-1], dtype=np.bool_)
        moved = compared & ((self.q2 <= 0.0) | (self.q * self.q < bound))
        result: NDArray[np.bool_] = moved.any(axis=(-2, -1))
        return result


def rounded_weights(weights: Array, count: Array) -> Array:
    """Return weights (..., K) in billionths; where they are NaN, the shares of the counts. ValueError if below 0."""
    known = ~np.isnan(weights).any(axis=-1, keepdims=True)
    shares = count / np.maximum(count.sum(axis=-1, keepdims=True), 1.0)
    filled = np.where(known, weights, shares)
    if (filled < 0.0).any():
        raise ValueError("weights must be at least 0")
    return np.rint(filled * NANO)


def overlap_weights(weights: Array) -> Array:
    """Return q (..., K, K) in billionths of weights in billionths (..., K); 0 on the diagonal and for arms without."""
    own, other = weights[..., :, None], weights[..., None, :]
    together = own + other
    q = np.rint(np.divide(other * NANO, together, out=np.zeros_like(together), where=(own > 0.0) & (together > 0.0)))
    q *= ~np.eye(weights.shape[-1], dtype=np.bool_)
    return q


def _with_zero_row_sums(between: Array) -> Array:
    """Return symmetric matrices whose diagonal makes every row add up to 0."""
    places = np.arange(between.shape[-1])
    between[..., places, places] = 0.0
    between[..., places, places] = -between.sum(axis=-1)
    return between


def _ratio(numerator: Array, denominator: Array) -> Array:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0.0)
