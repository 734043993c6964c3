"""Which of some independent Student t means is the highest, and what choosing one costs: quadrature in one dimension.

With f_i, F_i and S_i = 1 − F_i the density, distribution and survival function of mean i, M = ∏ F_j the distribution
function of the highest, and h_i = f_i / F_i,

    P(best)_i = ∫ h_i M dt,        expected loss_i = E[max_j μ_j − μ_i] = ∫ (F_i − M) dt.

One product serves all arms, so K arms on N nodes cost K · N evaluations. The mesh begins where some F is `LOWEST`, so
every division is by a number above it, and ends where every S is below `HIGHEST`. What lies beyond is added in closed
form: below, M is 0; above, 1 − M is the sum of all S_j, and

    ∫_c^∞ S(t) dt = E[(μ − c)⁺] = s · ((ν + z²) / (ν − 1) · f(z) − z · S(z)),        z = (c − m) / s.

F and S are running integrals of f from either end, so both keep their relative accuracy. In the variable
asinh(z / √ν) a t density changes by about the same factor everywhere, in its middle and along its tail; the mesh
follows each arm in it.

Measured for 2 to 30 arms with freedom from 1.1 to 1e6 and scales whose ratio goes up to 1,000, against a denser rule
with scipy's distribution functions: P(best) is off by at most 2e-13, expected loss by at most 1e-11 of itself or 1e-13
of the range of the means.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, stdtr, stdtrit

from bandit_core.best_arm import BestArm
from bandit_core.quadrature import Mesh, adapted_mesh

type Array = NDArray[np.float64]

LOWEST: Final = 1e-18
HIGHEST: Final = 1e-12

PANEL: Final = 2.6
"""Width of a panel in standard deviations, in the middle of a density that is nearly normal."""

POLE: Final = 1.6
"""Width of a panel as a multiple of the distance to the poles of the density, which limits it where tails are heavy."""

TAIL: Final = 10.0
"""Panels are half as wide where the density has dropped as far as a normal one at this many standard deviations."""

NEGLIGIBLE: Final = 40.0
MOST_BEND: Final = 1.0
MOST_DROP: Final = 8.0
"""In logarithms: what is left out beside the highest value, and how far a panel may bend and drop."""

_TINY: Final = 1e-290

MOST_POINTS: Final = 1_000
FEWEST_POINTS: Final = 8
"""How many places the first mesh has in all, and at least for each arm."""


@dataclass(frozen=True, slots=True, eq=False)
class TArms:
    """Student t distributions of K arms, fields (K,): place, scale > 0 and degrees of freedom > 1."""

    mean: Array
    scale: Array
    freedom: Array

    def best_arm(self) -> BestArm:
        """Return P(best) and expected loss (K,), in the unit of the means."""
        count = len(self.mean)
        if count == 1:
            return BestArm(np.ones(1), np.zeros(1))
        place, unit = float(self.mean.max()), float(np.ptp(self.mean) + self.scale.max())
        arms = TArms((self.mean - place) / unit, self.scale / unit, self.freedom)
        low = float((arms.mean + arms.scale * stdtrit(arms.freedom, LOWEST)).max())
        high = float((arms.mean - arms.scale * stdtrit(arms.freedom, HIGHEST)).max())
        mesh = arms._mesh(low, high)
        density = np.exp(arms.log_density(mesh.nodes[0]))
        below, above = _both_ways(mesh, density)
        cdf = below + arms.cdf(low)[:, None]
        survival = above + arms.survival(high)[:, None]
        log_cdf = np.where(survival < 0.5, np.log1p(-np.minimum(survival, 0.5)), np.log(cdf))
        log_maximum = log_cdf.sum(axis=0)
        weights = mesh.weights[0]
        chance = (density / cdf) @ (np.exp(log_maximum) * weights) + arms.survival(high)
        loss = (cdf * -np.expm1(log_maximum - log_cdf)) @ weights
        beyond = arms.excess(high)
        loss += arms.shortfall(low) + (beyond.sum() - beyond)
        return BestArm(chance / chance.sum(), unit * np.maximum(loss, 0.0))

    @property
    def log_norm(self) -> Array:
        """Natural logarithm (K,) of what (1 + z² / freedom)^(−(freedom + 1) / 2) is multiplied by to be a density."""
        return self._log_norm_of_scaled(self.freedom) - np.log(self.scale)

    def cdf(self, t: float) -> Array:
        """Return the probability (K,) of a mean below t."""
        result: Array = stdtr(self.freedom, (t - self.mean) / self.scale)
        return result

    def survival(self, t: float) -> Array:
        """Return the probability (K,) of a mean above t."""
        result: Array = stdtr(self.freedom, (self.mean - t) / self.scale)
        return result

    def excess(self, t: float) -> Array:
        """Return E[(μ − t)⁺] (K,)."""
        return self._beyond((t - self.mean) / self.scale)

    def shortfall(self, t: float) -> Array:
        """Return E[(t − μ)⁺] (K,)."""
        return self._beyond((self.mean - t) / self.scale)

    def log_prob_exceeds(self, leader: int) -> Array:
        """Return log P(μ_i > μ_leader) (K,), however small that probability is; for the leader itself log ½.

        It is the integral of S_i f_leader, taken in logarithms: with tails of different weight its peak may lie at
        either mean or between them, and far below the smallest float.
        """
        ahead = self._one(leader)
        return np.array(
            [
                np.log(0.5) if arm == leader else _log_prob_exceeds(self._one(arm), ahead)
                for arm in range(len(self.mean))
            ]
        )

    def log_survival(self, t: Array) -> Array:
        """Return log S (K, N) at places t (N,), from the asymptotic tail where S is no float any more.

        As (ν + z²) / (ν z) · f has the derivative −f (1 + 1 / z²), S is nearly it, divided by 1 + 1 / z².
        """
        z = (t - self.mean[:, None]) / self.scale[:, None]
        freedom = self.freedom[:, None]
        tail = stdtr(freedom, -z)
        far = np.maximum(z, 1.0)
        asymptotic = self._log_density_of_scaled(z, freedom) + np.log((freedom + far * far) / (freedom * far))
        asymptotic -= np.log1p(1.0 / (far * far))
        result: Array = np.where(tail > _TINY, np.log(np.maximum(tail, _TINY)), asymptotic)
        return result

    def _one(self, arm: int) -> "TArms":
        return TArms(self.mean[[arm]], self.scale[[arm]], self.freedom[[arm]])

    def log_density(self, t: Array) -> Array:
        """Return log f (K, N) at places t (N,)."""
        z = (t - self.mean[:, None]) / self.scale[:, None]
        return self._log_density_of_scaled(z, self.freedom[:, None]) - np.log(self.scale)[:, None]

    def _beyond(self, z: Array) -> Array:
        density = np.exp(self._log_density_of_scaled(z, self.freedom))
        tail = stdtr(self.freedom, -z)
        result: Array = self.scale * ((self.freedom + z * z) / (self.freedom - 1.0) * density - z * tail)
        return np.maximum(result, 0.0)

    @staticmethod
    def _log_density_of_scaled(z: Array, freedom: Array) -> Array:
        result: Array = TArms._log_norm_of_scaled(freedom) - (freedom + 1.0) / 2.0 * np.log1p(z * z / freedom)
        return result

    @staticmethod
    def _log_norm_of_scaled(freedom: Array) -> Array:
        result: Array = _log_gamma_ratio(freedom / 2.0) - 0.5 * np.log(freedom * np.pi)
        return result

    def _mesh(self, low: float, high: float) -> Mesh:
        arms = self._moving_above(low)
        reach, half = np.sqrt(arms.freedom) * arms.scale, arms.freedom + 1.0
        ends = -arms.scale * stdtrit(arms.freedom, HIGHEST / 10.0)
        rate = np.maximum(np.sqrt(half) / PANEL, 1.0 / POLE)

        def panels_needed(edges: Array) -> Array:
            z = np.minimum(edges - arms.mean[:, None], ends[:, None]) / reach[:, None]
            deviations = np.sqrt(half[:, None] * np.log1p(z * z))
            coordinate = rate[:, None] * np.arcsinh(z) * (1.0 + deviations / TAIL)
            needed: Array = np.diff(coordinate, axis=1).max(axis=0, keepdims=True)
            return needed

        first, last = np.arcsinh((np.array([[low], [high]]) - arms.mean) / reach)
        points = max(FEWEST_POINTS, MOST_POINTS // len(arms.mean))
        places = arms.mean + reach * np.sinh(np.linspace(first, last, points))
        inside = np.unique(places[(places > low) & (places < high)])
        return adapted_mesh(np.concatenate(([low], inside, [high]))[None], panels_needed)

    def _moving_above(self, low: float) -> "TArms":
        moving = self.mean - self.scale * stdtrit(self.freedom, HIGHEST) > low
        return TArms(self.mean[moving], self.scale[moving], self.freedom[moving])


def _both_ways(mesh: Mesh, values: Array) -> tuple[Array, Array]:
    """Return the integrals of functions (K, N) from the left end to each node, and from each node to the right end."""
    below, _ = mesh.running_integral(values[None])
    above, _ = mesh.backwards().running_integral(values[None, :, ::-1])
    return below[0], above[0, :, ::-1]


def _log_prob_exceeds(challenger: TArms, leader: TArms) -> float:
    """Return log ∫ S f over panels that are halved until the logarithm is nearly a parabola in each that counts."""

    def log_integrand(t: Array) -> Array:
        total: Array = challenger.log_survival(t)[0] + leader.log_density(t)[0]
        return total

    gap = abs(float(leader.mean[0] - challenger.mean[0]))
    edges = np.unique(np.concatenate([_graded(each, gap) for each in (challenger, leader)]))
    while True:
        middles = (edges[:-1] + edges[1:]) / 2.0
        at_edges, at_middles = log_integrand(edges), log_integrand(middles)
        chord = (at_edges[:-1] + at_edges[1:]) / 2.0
        highest = np.maximum(np.maximum(at_edges[:-1], at_edges[1:]), at_middles)
        counts = highest > highest.max() - NEGLIGIBLE
        bends = (np.abs(at_middles - chord) > MOST_BEND) | (np.abs(np.diff(at_edges)) > MOST_DROP)
        split = counts & bends & (edges[:-1] < middles) & (middles < edges[1:])
        if not split.any():
            break
        edges = np.sort(np.concatenate([edges, middles[split]]))
    mesh = Mesh.between(edges[None])
    return float(logsumexp(log_integrand(mesh.nodes[0]), b=mesh.weights[0]))


def _graded(arm: TArms, gap: float) -> Array:
    """Return places around a mean, in steps that grow with the distance, to four times as far as the other mean."""
    scale = float(arm.scale[0])
    reach = np.arcsinh(4.0 * gap / scale + 40.0)
    places: Array = arm.mean[0] + scale * np.sinh(np.linspace(-reach, reach, 65))
    return places


def _log_gamma_ratio(a: Array) -> Array:
    """Return log Γ(a + ½) − log Γ(a); from its asymptotic series where the difference of both would lose digits.

    NIST Digital Library of Mathematical Functions, 5.11.8 with a and a + ½.
    """
    large = np.maximum(a, 20.0)
    b = 1.0 / (large * large)
    series = (((31.0 / 18432.0 * b - 17.0 / 14336.0) * -b - 1.0 / 640.0) * b + 1.0 / 192.0) * b - 1.0 / 8.0
    result: Array = np.where(a < 20.0, gammaln(a + 0.5) - gammaln(a), 0.5 * np.log(large) + series / large)
    return result
