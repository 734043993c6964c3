"""What totals say about each arm and the stopping rule: for reports, and to be kept with every publication."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bandit_core.policies.base import ArmBeliefs
from bandit_core.posteriors import BetaPosterior
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.vectors import gaussian_beliefs
from bandit_service.allocation.compute import Posterior, beliefs_of, judge, posteriors
from bandit_service.domain.assessment import ArmAssessment, Assessment
from bandit_service.domain.totals import Totals

_CREDIBLE = 0.95


class Estimate(NamedTuple):
    """What is believed of one arm's mean reward, in the units rewards are sent in.

    `density` has the parameters of its density: `alpha`, `beta` and `log_norm` of a Beta distribution; or `location`,
    `scale`, `freedom` and `log_norm` of a Student t distribution, if rewards are gaussian.
    """

    mean: float
    interval: tuple[float, float]
    reward_sum: float
    density: Mapping[str, float]


def estimates(experiment: Experiment, known: Sequence[Posterior]) -> list[Estimate]:
    """Return what is believed of every arm's mean reward."""
    if not experiment.is_gaussian:
        return [_estimate_of_rate(each) for each in known]
    unit = experiment.unit
    parameters = np.array([each.parameters(experiment) for each in known])
    beliefs = gaussian_beliefs(experiment, [each.arm.id for each in known], parameters)
    low, high = beliefs.interval(_CREDIBLE)
    columns = (beliefs.mean, low, high, beliefs.scale, beliefs.freedom, beliefs.log_norm)
    return [
        Estimate(
            mean,
            (least, most),
            each.alpha * unit,
            {"location": mean, "scale": scale, "freedom": freedom, "log_norm": log_norm},
        )
        for each, mean, least, most, scale, freedom, log_norm in zip(
            known, *map(np.ndarray.tolist, columns), strict=True
        )
    ]


def _estimate_of_rate(each: Posterior) -> Estimate:
    posterior = BetaPosterior(each.alpha, each.beta)
    interval = posterior.interval(_CREDIBLE)
    density = {"alpha": each.alpha, "beta": each.beta, "log_norm": posterior.log_norm}
    return Estimate(each.mean, (interval.low, interval.high), each.reward_sum, density)


def beliefs_by_arm(beliefs: ArmBeliefs) -> dict[str, tuple[float, float]]:
    """Return P(best), and the expected loss in the units of rewards, of each arm that can be served."""
    best = beliefs.best_arm
    losses = np.maximum(best.expected_loss, 0.0)
    return dict(zip(beliefs.arms, zip(best.prob_best.tolist(), losses.tolist(), strict=True), strict=True))


def assess(
    experiment: Experiment,
    totals: Totals,
    weights: Mapping[str, float],
    now: float,
    beliefs: ArmBeliefs | None = None,
) -> Assessment:
    """Return what is believed when weights are published; `beliefs`, if they are at hand, are those of these totals."""
    known = posteriors(experiment, totals)
    beliefs = beliefs_of(experiment, known) if beliefs is None else beliefs
    by_arm = beliefs_by_arm(beliefs)
    verdict = judge(experiment, totals, now, beliefs)
    arms = []
    for each, estimate in zip(known, estimates(experiment, known), strict=True):
        prob_best, loss = by_arm.get(each.arm.id, (None, None))
        low, high = estimate.interval
        arms.append(
            ArmAssessment(
                arm_index=each.arm.index,
                mean=estimate.mean,
                low=low,
                high=high,
                prob_best=prob_best,
                expected_loss=loss,
                weight=weights.get(each.arm.id, 0.0),
                density=estimate.density,
            )
        )
    said = None if verdict is None else verdict.to_dict() | {"sentence": verdict.sentence()}
    return Assessment(arms=arms, verdict=said)
