"""Whether an estimate can be trusted: how the weights lie, what the log covers, and warnings in plain words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit_core.ope.estimators import Method
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.moments import WEIGHT, Moments
from bandit_core.ope.rounds import EvaluationInput, Support
from bandit_core.ope.tables import ArmValues
from bandit_core.wording import count, percent

QUANTILES: Final = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)

MIN_REWARDED = 200
"""Effective rewarded matches below which a normal or bootstrap interval covers too rarely."""

MAX_SHARE = 0.05
"""The largest share of all weight that a single round may carry without a warning."""

MIN_COVERAGE = 0.99
"""Coverage below which part of the evaluation policy is unknown enough to say so."""

MAX_DEVIATION = 4.0
"""Standard errors by which the mean weight may miss 1 before the propensities are in doubt."""


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """How far a log can speak about an evaluation policy, before any estimate.

    weights: quantile -> weight w = π / p, over all n rounds. mean_weight: 1 in expectation when the log's policy can
    play whatever the evaluation policy may play; with its standard error. ess: (Σw)² / Σw².
    matches: rounds of positive weight; rewarded_matches: those of them that were rewarded; effective_rewarded: these,
    discounted for unequal weights, (Σ w r)² / Σ (w r)².
    target_share, log_share (n_positions, n_arms): how often either policy plays an arm, each adding up to 1 over all.
    overlap: Σ min(target_share, log_share), 1 when both play every arm equally often, 0 when they share none.
    """

    n: int
    weights: dict[float, float]
    mean_weight: float
    mean_weight_std_error: float
    ess: float
    matches: int
    rewarded_matches: int
    effective_rewarded: float
    coverage: float
    target_share: NDArray[np.float64]
    log_share: NDArray[np.float64]
    warnings: tuple[str, ...]

    @property
    def largest_weight(self) -> float:
        return self.weights[1.0]

    @property
    def overlap(self) -> float:
        return float(np.minimum(self.target_share, self.log_share).sum())


def diagnose(log: LoggedDecisions, target: ArmValues) -> Diagnostics:
    """Return what a log can say about a target policy; ValueError for probabilities that are none."""
    method = Method("ipw")
    rounds = EvaluationInput.of(log, target).rounds()
    moments, support = Moments.of(rounds, method.contribute(rounds)), rounds.support
    return Diagnostics(
        n=moments.n,
        weights=dict(zip(QUANTILES, np.quantile(rounds.weights, QUANTILES).tolist(), strict=True)),
        mean_weight=float(moments.means[WEIGHT]),
        mean_weight_std_error=moments.mean_weight_std_error,
        ess=moments.ess,
        matches=moments.matches,
        rewarded_matches=moments.rewarded,
        effective_rewarded=moments.effective_rewarded,
        coverage=support.coverage,
        target_share=support.mass / support.mass.sum(),
        log_share=support.played / moments.n,
        warnings=tuple(warnings_of(method, moments, support, adaptive=log.adaptive)),
    )


def warnings_of(method: Method, moments: Moments, support: Support, *, adaptive: bool) -> Iterator[str]:
    """Yield the reasons why an estimate or its normal or bootstrap interval should not be trusted."""
    if adaptive:
        yield (
            "the log's policy learned from these rewards: rounds are not independent, and a normal interval need not "
            "hold; use a confidence sequence"
        )
    if support.coverage < MIN_COVERAGE:
        yield (
            f"the log has never played arms that hold {percent(1.0 - support.coverage)} of the evaluation policy's "
            "probability: nothing is known about their rewards"
        )
    if moments.weighted:
        yield from _doubts_of_weights(method, moments)
    else:
        yield "the interval leaves out the error of the reward model, which more rounds do not reduce"


def _doubts_of_weights(method: Method, moments: Moments) -> Iterator[str]:
    total = moments.n * float(moments.means[WEIGHT])
    if total == 0.0:
        yield "no logged decision has a positive weight: the log says nothing about this policy"
        return
    if moments.effective_rewarded < MIN_REWARDED:
        yield (
            f"only {count(moments.effective_rewarded, 'effective rewarded match').replace('matchs', 'matches')} "
            f"(fewer than {MIN_REWARDED}): normal and bootstrap intervals are too narrow, and cover too rarely"
        )
    if moments.largest_weight > MAX_SHARE * total:
        yield (
            f"one round carries {percent(moments.largest_weight / total)} of all weight (weight "
            f"{moments.largest_weight:.3g}): the estimate hangs on it"
        )
    miss, std_error = float(moments.means[WEIGHT]) - 1.0, moments.mean_weight_std_error
    if method.threshold is None and abs(miss) > MAX_DEVIATION * std_error + 1e-9:
        yield (
            f"the mean weight is {1.0 + miss:.3g} and should be 1 within about {std_error:.2g}: the logged "
            "propensities are not those the arms were chosen with, or some arms could never be chosen"
        )
