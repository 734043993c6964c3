"""A threshold chosen by the data: how far to clip, switch or shrink, between bias and variance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtri

from bandit_core.ope.estimators import ESTIMATORS, Method
from bandit_core.ope.evaluation import estimate_all
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.result import OPEResult, check_level
from bandit_core.ope.rounds import EvaluationInput
from bandit_core.ope.tables import ArmValues

CANDIDATES: Final = 12


@dataclass(frozen=True, slots=True)
class ChosenThreshold:
    """The threshold that was chosen, its result, and the results of all candidates from the largest threshold down."""

    threshold: float
    result: OPEResult
    candidates: tuple[tuple[float, OPEResult], ...]


def slope(
    log: LoggedDecisions,
    target: ArmValues,
    *,
    method: str,
    q_hat: ArmValues | None = None,
    thresholds: Sequence[float] | None = None,
    level: float = 0.95,
) -> ChosenThreshold:
    """Choose a threshold for a method that takes one by SLOPE.

    Su, Srinath and Krishnamurthy 2020, "Adaptive estimator selection for off-policy evaluation". Candidates go from the
    least biased, the largest threshold, down to ever more bias and less variance. Around each estimate lies an interval
    of twice its half-width at `level` (by the standard error, made not to grow on the way down). The last candidate is
    chosen up to which all intervals have a point in common: further down, bias would show.

    thresholds: candidates > 0; by default 12 from the median positive weight to the largest, equally far apart in ratio
    (their squares for dr-os, whose λ stands beside w²). The chosen estimate's interval does not know of the choice.
    ValueError for a method without a threshold, and as `bandit_core.ope.evaluation.estimate`.
    """
    check_level(level)
    if method in ESTIMATORS and ESTIMATORS[method].threshold == "none":
        raise ValueError(f"{method} has no threshold to choose")
    if thresholds is None:
        thresholds = _between_weights(log, target, power=2.0 if method == "dr-os" else 1.0)
    candidates = sorted(set(thresholds), reverse=True)
    if not candidates:
        raise ValueError("give at least one threshold to choose from")
    methods = [Method(method, threshold) for threshold in candidates]
    results = estimate_all(log, target, methods=methods, q_hat=q_hat, level=level)
    z = float(ndtri(0.5 + level / 2.0))
    half = 2.0 * z * np.minimum.accumulate([result.std_error for result in results])
    estimates = np.array([result.estimate for result in results])
    common = np.maximum.accumulate(estimates - half) <= np.minimum.accumulate(estimates + half)
    last = int(np.argmin(common)) - 1 if not common.all() else len(candidates) - 1
    return ChosenThreshold(candidates[last], results[last], tuple(zip(candidates, results, strict=True)))


def _between_weights(log: LoggedDecisions, target: ArmValues, *, power: float) -> list[float]:
    weights = EvaluationInput.of(log, target).rounds().weights
    positive = weights[weights > 0.0]
    if positive.size == 0:
        raise ValueError("no logged decision has a positive weight: there is nothing to choose a threshold for")
    return [float(weight**power) for weight in np.geomspace(np.median(positive), positive.max(), CANDIDATES)]
