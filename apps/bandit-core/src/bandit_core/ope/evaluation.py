"""Estimates of what an evaluation policy earns: by one estimator, or by several in one pass over the log."""

from collections.abc import Sequence
from functools import reduce

from bandit_core.ope.diagnostics import warnings_of
from bandit_core.ope.estimators import Method
from bandit_core.ope.intervals import normal_interval
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.moments import Moments
from bandit_core.ope.result import OPEResult
from bandit_core.ope.rounds import EvaluationInput, Support
from bandit_core.ope.tables import ArmValues


def estimate(
    log: LoggedDecisions,
    target: ArmValues,
    *,
    method: str,
    q_hat: ArmValues | None = None,
    threshold: float | None = None,
    level: float = 0.95,
) -> OPEResult:
    """Estimate the mean reward of the policy with probabilities `target`, with a normal interval, by one estimator.

    target and q_hat: (n_arms,), (n_positions, n_arms) or (n, n_arms), see `bandit_core.ope.tables`. method and
    threshold: see `bandit_core.ope.estimators`. Other intervals are in `bandit_core.ope.intervals`.

    ValueError for probabilities that are none, with the first such row, for an unknown method, and for a q_hat or
    threshold that it lacks or does not know.
    """
    return estimate_all(log, target, methods=[Method(method, threshold)], q_hat=q_hat, level=level)[0]


def estimate_all(
    log: LoggedDecisions,
    target: ArmValues,
    *,
    methods: Sequence[Method],
    q_hat: ArmValues | None = None,
    level: float = 0.95,
) -> list[OPEResult]:
    """Estimate as `estimate` does, by several methods in one pass over the log; results in the order of methods."""
    parts: list[list[Moments]] = [[] for _ in methods]
    supports: list[Support] = []
    for rounds in EvaluationInput.of(log, target, q_hat).blocks():
        supports.append(rounds.support)
        for method, summed in zip(methods, parts, strict=True):
            summed.append(Moments.of(rounds, method.contribute(rounds)))
    support = reduce(Support.__add__, supports)
    return [
        summarise(method, reduce(Moments.merge, summed), support, adaptive=log.adaptive, level=level)
        for method, summed in zip(methods, parts, strict=True)
    ]


def summarise(
    method: Method, moments: Moments, support: Support, *, adaptive: bool = False, level: float = 0.95
) -> OPEResult:
    """Return the result that the moments of a whole log and its support amount to, with a normal interval."""
    return OPEResult(
        method=str(method),
        estimate=moments.estimate,
        std_error=moments.std_error,
        n=moments.n,
        ess=moments.accepted if method.name == "replay" else moments.ess,
        coverage=support.coverage,
        interval=normal_interval(moments, level),
        warnings=tuple(warnings_of(method, moments, support, adaptive=adaptive)),
    )
