"""Does traffic split as it should? Two tests that may be looked at as often as one likes.

`sample_ratio` compares counts with fixed shares. Lindon and Malek 2022, "Anytime-valid inference for multinomial count
data" (NeurIPS): under the intended shares p the counts n have the Bayes factor of a Dirichlet(strength · p) alternative

    B = Γ(a) / Γ(a + N) ∏ Γ(a p_i + n_i) / Γ(a p_i) / ∏ p_i^{n_i},      a = strength,

which is a martingale with mean 1. By Ville's inequality it ever exceeds 1 / α with a probability of at most α, so
min(1, 1 / B) is a p-value at whatever moment one stops.

`propensity_p_values` compares decisions with the propensities they were logged with, which may differ from decision to
decision. For every arm k, 1{A = k} / p_k has expectation 1 in each decision if arms are drawn with the logged
propensities, whatever the decisions before were. So the wealth of a gambler who stakes a share λ each time,
Π (1 + λ (1{A = k} / p_k − 1)), is a positive martingale and exceeds 1 / α at any time with probability at most α (Ville
1939; Shafer 2021, "Testing by betting"). Only the drawn arm's propensity is needed, which is what is logged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, fsum, log
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from bandit_core.checks import check_number

SUM_TOLERANCE = 1e-6

SMALL_P_VALUE: Final = 0.001
"""Below this a split is not what it should be, however often one has looked."""

BETS: Final = (0.002, 0.01, 0.05, 0.2, 0.5)
"""Shares of its wealth that each gambler stakes; small ones are for arms with small propensities."""


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


def sample_ratio_of_periods(periods: Sequence[tuple[Mapping[str, int], Mapping[str, float]]]) -> SampleRatio:
    """Return the test of counts against the shares of their time; each period has counts and positive shares.

    With shares that never changed it is `sample_ratio`. Otherwise a group is drawn with the share of its period, as an
    arm is with a propensity. ValueError as `sample_ratio`, and without a period.
    """
    if not periods:
        raise ValueError("there must be at least one period")
    names = list(periods[0][1])
    each = [sample_ratio(observed, {name: shares[name] for name in names}) for observed, shares in periods]
    observed = {name: sum(period.observed[name] for period in each) for name in names}
    if all(shares == periods[0][1] for _, shares in periods):
        return sample_ratio(observed, periods[0][1])
    draws = {
        name: ArmDraws.of(
            np.array([shares[name] for _, shares in periods]), np.array([period.observed[name] for period in each])
        )
        for name in names
    }
    expected = {name: fsum(period.expected[name] for period in each) for name in names}
    return SampleRatio(observed, expected, min(propensity_p_values(draws).values()))


@dataclass(frozen=True, slots=True)
class ArmDraws:
    """The draws of one arm. Draws of later decisions are added to it, so each decision is read once.

    Attributes:
        draws: How many there were.
        represented: The sum of their inverse propensities, which is expected to be the number of draws of all arms.
        gains: The logarithm of what each gambler of `BETS` won by them.
    """

    draws: int = 0
    represented: float = 0.0
    gains: tuple[float, ...] = (0.0,) * len(BETS)

    @classmethod
    def of(cls, propensities: NDArray[np.float64], decisions: NDArray[np.int64]) -> Self:
        """Return the draws of an arm, so many at each propensity (m,)."""
        odds = 1.0 / propensities
        gains = tuple(float(decisions @ np.log1p(bet * (odds - 1.0))) for bet in BETS)
        return cls(int(decisions.sum()), float(decisions @ odds), gains)

    def __add__(self, other: "ArmDraws") -> "ArmDraws":
        gains = tuple(mine + theirs for mine, theirs in zip(self.gains, other.gains, strict=True))
        return ArmDraws(self.draws + other.draws, self.represented + other.represented, gains)


def propensity_p_values[Arm](arms: Mapping[Arm, ArmDraws]) -> dict[Arm, float]:
    """Return an anytime-valid p-value for each arm that it was drawn with the logged propensities, not more often.

    Stakes are averaged over `BETS`. An arm that is drawn too rarely shows as another that is drawn too often. The
    p-values are corrected for the number of arms.
    """
    total = sum(arm.draws for arm in arms.values())
    values = {}
    for name, arm in arms.items():
        lost = total - arm.draws
        wealth = [gain + lost * np.log1p(-bet) for gain, bet in zip(arm.gains, BETS, strict=True)]
        log_wealth = float(logsumexp(wealth)) - log(len(BETS))
        values[name] = min(1.0, len(arms) * exp(-max(log_wealth, 0.0)))
    return values
