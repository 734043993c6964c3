"""Independent truth for the numbers of `best_arm`: 30-digit arithmetic, another way to the distribution functions.

Run from the top of the repository, with mpmath installed (about ten minutes):

    python apps/bandit-core/tests/reference_best_arm.py

It writes tests/data/best_arm_reference.json: for each case the parameters, P(best) and expected loss as `best_arm`
defines them. Distribution functions come from the continued fraction of the incomplete beta function (DLMF 8.17.22),
not from integrals of densities, and the expected loss is the plain difference E[max_j θ_j] − E[θ_i]. So nothing here
forces the probabilities to sum to 1; the script fails if they miss it by more than 1e-14. It also computes every case
with two orders of the Gauss rule and fails unless they agree to 1e-10 of every probability above 1e-14 and every loss.
"""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from math import asinh, exp, log, log1p, sinh
from pathlib import Path

import mpmath as mp
import numpy as np

DATA = Path(__file__).parent / "data" / "best_arm_reference.json"
DIGITS = 30
ORDERS = (14, 20)
LARGEST_Z = 10.5

type Arm = tuple[float, float]
type Truth = tuple[dict[Arm, mp.mpf], dict[Arm, mp.mpf]]


def truth(arms: list[Arm], order: int) -> Truth:
    """P(best) and expected loss of each different arm among `arms`, by Gauss–Legendre quadrature of this order."""
    copies = Counter(arms)
    prob_best = dict.fromkeys(copies, mp.mpf(0))
    expected_maximum = mp.mpf(0)
    for t, weight in nodes(list(copies), order):
        cdfs = {arm: cdf(arm, t) for arm in copies}
        maximum = mp.fprod(cdfs[arm] ** count for arm, count in copies.items())
        for arm, count in copies.items():
            best_here = weight * density(arm, t) * maximum / cdfs[arm]
            prob_best[arm] += best_here
            expected_maximum += count * best_here / (1 + mp.exp(-t))
    loss = {arm: expected_maximum - mp.mpf(arm[0]) / (mp.mpf(arm[0]) + mp.mpf(arm[1])) for arm in copies}
    return prob_best, loss


def cdf(arm: Arm, t: mp.mpf) -> mp.mpf:
    """P(logit θ <= t), by the continued fraction on the side of the mean where it converges quickly."""
    alpha, beta = mp.mpf(arm[0]), mp.mpf(arm[1])
    if t > mp.log((alpha + 1) / (beta + 1)):
        return 1 - cdf((arm[1], arm[0]), -t)
    return density(arm, t) / (alpha * continued_fraction(alpha, beta, 1 / (1 + mp.exp(-t))))


def density(arm: Arm, t: mp.mpf) -> mp.mpf:
    return mp.exp(-arm[0] * mp.log1p(mp.exp(-t)) - arm[1] * mp.log1p(mp.exp(t)) - log_beta(*arm))


@cache
def log_beta(alpha: float, beta: float) -> mp.mpf:
    return mp.loggamma(alpha) + mp.loggamma(beta) - mp.loggamma(mp.mpf(alpha) + mp.mpf(beta))


def continued_fraction(alpha: mp.mpf, beta: mp.mpf, x: mp.mpf) -> mp.mpf:
    """1 + d1 / (1 + d2 / (1 + …)) of DLMF 8.17.22, by the modified Lentz algorithm."""
    value = upper = mp.mpf(1)
    lower = mp.mpf(0)
    m = 0
    while True:
        odd = -(alpha + m) * (alpha + beta + m) * x / ((alpha + 2 * m) * (alpha + 2 * m + 1))
        m += 1
        even = m * (beta - m) * x / ((alpha + 2 * m - 1) * (alpha + 2 * m))
        change = mp.mpf(1)
        for term in (odd, even):
            lower = 1 / (1 + term * lower)
            upper = 1 + term / upper
            change *= upper * lower
        value *= change
        if abs(change - 1) < mp.eps * 1000:
            return value


def nodes(arms: list[Arm], order: int) -> Iterator[tuple[mp.mpf, mp.mpf]]:
    points, weights = gauss_legendre(order)
    for left, right in pairwise(panel_edges(arms)):
        middle, half = (mp.mpf(right) + left) / 2, (mp.mpf(right) - left) / 2
        for point, weight in zip(points, weights, strict=True):
            yield middle + half * point, half * weight


def gauss_legendre(order: int) -> tuple[list[mp.mpf], list[mp.mpf]]:
    """Points and weights on [−1, 1], the points polished from double precision by Newton's method."""
    points = [mp.mpf(float(point)) for point in np.polynomial.legendre.leggauss(order)[0]]
    for _ in range(2):
        points = [x - mp.legendre(order, x) / legendre_slope(order, x) for x in points]
    return points, [2 / ((1 - x**2) * legendre_slope(order, x) ** 2) for x in points]


def legendre_slope(order: int, x: mp.mpf) -> mp.mpf:
    return order * (x * mp.legendre(order, x) - mp.legendre(order - 1, x)) / (x**2 - 1)


def panel_edges(arms: list[Arm]) -> list[float]:
    """Edges in steps of 1.5 of each arm's signed root of twice the drop of the log density, and graded around ±iπ.

    They begin where the first arm to matter for the maximum begins, and end where the last arm ends.
    """
    steps = np.arange(-LARGEST_Z, LARGEST_Z + 1, 1.5)
    places = [[place_at(arm, z) for z in steps] for arm in arms]
    low, high = max(place[0] for place in places), max(place[-1] for place in places)
    reach = asinh(max(abs(low), abs(high)))
    graded = [sinh(u) for u in np.linspace(-reach, reach, 2 + int(reach * 3))]
    return [low, *sorted({edge for edge in sum(places, graded) if low < edge < high}), high]


def place_at(arm: Arm, z: float) -> float:
    """Where on the logit axis the log density has dropped by z² / 2, left of the peak for negative z: by bisection."""
    near = log(arm[0] / arm[1])
    step = -1.0 if z < 0 else 1.0
    while drop(arm, near + step) < z * z / 2:
        step *= 2
    far = near + step
    for _ in range(60):
        middle = (near + far) / 2
        near, far = (middle, far) if drop(arm, middle) < z * z / 2 else (near, middle)
    return near


def drop(arm: Arm, t: float) -> float:
    alpha, beta = arm
    at_peak = alpha * log1p(beta / alpha) + beta * log1p(alpha / beta)
    return alpha * softplus(-t) + beta * softplus(t) - at_peak


def softplus(t: float) -> float:
    return max(t, 0.0) + log1p(exp(-abs(t)))


def checked_truth(arms: list[Arm]) -> Truth:
    """Truth at the higher order, once it agrees with the lower one and with the law that probabilities sum to 1."""
    mp.mp.dps = DIGITS
    (rough_prob, rough_loss), (prob, loss) = (truth(arms, order) for order in ORDERS)
    assert abs(sum(prob[arm] for arm in arms) - 1) < 1e-14, arms
    for arm in prob:
        assert prob[arm] < 1e-14 or abs(rough_prob[arm] / prob[arm] - 1) < 1e-10, (arm, prob[arm])
        assert loss[arm] < 1e-20 or abs(rough_loss[arm] / loss[arm] - 1) < 1e-10, (arm, loss[arm])
    return prob, loss


def separated(alpha: float, beta: float, *, by: float, wider: float) -> list[Arm]:
    """An arm, and one `wider` times as wide whose peak lies `by` joint deviations below it on the logit axis."""
    width = (1 / alpha + 1 / beta) ** 0.5
    odds = exp(log(alpha / beta) - by * width * (1 + wider**2) ** 0.5)
    precision = 1 / (wider * width) ** 2
    return [(alpha, beta), (precision * (1 + odds), precision * (1 + 1 / odds))]


def cases() -> dict[str, list[Arm]]:
    rng = np.random.default_rng(20240527)
    totals = np.exp(rng.uniform(log(2), log(3e5), 10))
    return {
        "two flat priors": [(1, 1), (1, 1)],
        "two small samples": [(3, 5), (4, 3)],
        "click rates near one percent": [(101, 9901), (113, 9889), (90, 9912)],
        "U-shaped, equal": [(0.05, 0.05)] * 2,
        "U-shaped, nearly equal": [(0.05, 0.05), (0.05, 0.0500001)],
        "mass at 0, ten arms": [(0.05, 1.0)] * 9 + [(0.06, 1.0)],
        "mass at 1, told apart only by 1 − θ": [(1.0, 0.05), (1.0, 0.06), (2.0, 0.05)],
        "mass at 0 on scales 1 to 1e-6": [(0.05, 1.0), (0.05, 1e3), (0.05, 1e6)],
        "mass at 1 on scales 1 to 1e-6": [(1.0, 0.05), (1e3, 0.05), (1e6, 0.05)],
        "largest parameters, equal": [(1e6, 1e6)] * 3,
        "largest parameters, nearly equal": [(1e6, 1e6), (1e6, 1e6 + 1), (1e6 + 1, 1e6)],
        "largest parameters at a rate of 1e-6": [(1.0, 1e6), (2.0, 1e6), (0.05, 1e6)],
        "narrow beside U-shaped": [(1e6, 1e6), (0.05, 0.05)],
        "narrow beside flat, out of the middle": [(9.9e5, 1e4), (1, 1), (990, 10)],
        "three scales": [(1e6, 1e6), (1e3, 1e3), (1, 1)],
        "rival 3 deviations below": separated(500, 4500, by=3, wider=1),
        "rival 5 below, ten times wider": separated(5e4, 4.5e5, by=5, wider=10),
        "rival 5 below, ten times narrower": separated(50, 450, by=5, wider=0.1),
        "rival 6.9 below, P(best) near 1e-12": separated(2000, 8000, by=6.9, wider=1),
        "rival 6.9 below, narrow": separated(3, 5, by=6.9, wider=0.05),
        "rival 6.9 below, wide": separated(1e5, 1e5, by=6.9, wider=20),
        "ten arms at one rate, on scales from 2 to 3e5": [(max(0.05, 0.03 * n), 0.97 * n) for n in totals.tolist()],
        "five arms of any kind": [(arm[0], arm[1]) for arm in np.exp(rng.uniform(-3, 13, (5, 2))).tolist()],
        "a hundred equal arms": [(20.0, 80.0)] * 100,
        "a hundred arms, one better": [(200.0, 800.0)] * 99 + [(260.0, 740.0)],
        "a hundred largest arms, nearly equal": [(1e6, 1e6)] * 50 + [(1e6, 1e6 + 100)] * 50,
        "a hundred arms of four kinds": [(0.05, 0.05)] * 25 + [(1, 1)] * 25 + [(30, 10)] * 25 + [(3e3, 100)] * 25,
    }


def main() -> None:
    records = []
    for name, arms in cases().items():
        prob, loss = checked_truth(arms)
        records.append(
            {
                "name": name,
                "alpha": [float(arm[0]) for arm in arms],
                "beta": [float(arm[1]) for arm in arms],
                "prob_best": [float(prob[arm]) for arm in arms],
                "expected_loss": [float(loss[arm]) for arm in arms],
            }
        )
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_text("[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n")


if __name__ == "__main__":
    main()
