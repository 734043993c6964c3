from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.ope.estimators import ESTIMATORS, Method
from bandit_core.ope.evaluation import estimate, estimate_all
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.rounds import BLOCK

type Floats = NDArray[np.float64]
type MakeProblem = Callable[..., tuple[LoggedDecisions, Floats, Floats]]

METHODS = [Method(name, 2.0 if found.threshold == "required" else None) for name, found in ESTIMATORS.items()]


def test_several_methods_in_one_pass_are_the_methods_one_by_one(make_problem: MakeProblem) -> None:
    log, target, q_hat = make_problem()
    together = estimate_all(log, target, methods=METHODS, q_hat=q_hat)
    alone = [estimate(log, target, method=method.name, threshold=method.threshold, q_hat=q_hat) for method in METHODS]
    assert together == alone
    assert [result.method for result in together] == [str(method) for method in METHODS]


def test_a_log_of_several_blocks_is_evaluated_as_a_whole(make_problem: MakeProblem) -> None:
    log, target, q_hat = make_problem(n=BLOCK + 1_000)
    weights = target[np.arange(len(log)), log.arms] / log.propensities
    predicted = q_hat[np.arange(len(log)), log.arms]
    robust = (target * q_hat).sum(axis=1) + weights * (log.rewards - predicted)
    result = estimate(log, target, method="dr", q_hat=q_hat)
    assert result.n == BLOCK + 1_000
    assert result.estimate == pytest.approx(robust.mean())
    assert result.std_error == pytest.approx(robust.std(ddof=1) / np.sqrt(len(log)))


def test_a_result_carries_a_normal_interval_of_the_level_asked_for(make_problem: MakeProblem) -> None:
    log, target, _ = make_problem()
    result = estimate(log, target, method="ipw", level=0.9)
    assert result.interval is not None
    assert (result.interval.kind, result.interval.level) == ("normal", 0.9)
    assert result.interval.high - result.estimate == pytest.approx(1.6448536 * result.std_error)


def test_estimates_are_right_on_average(make_problem: MakeProblem) -> None:
    """All rewards have the same mean, so every policy earns it: within 4 standard errors for every estimator."""
    log, target, _ = make_problem(n=50_000, rate=0.3)
    q_hat = np.full(log.n_arms, 0.25)
    for result in estimate_all(log, target, methods=[method for method in METHODS if method.name != "dm"], q_hat=q_hat):
        unbiased = "switch" not in result.method and "os" not in result.method
        if unbiased:
            assert abs(result.estimate - 0.3) < 4 * result.std_error, result
        assert abs(result.estimate - 0.3) < abs(0.25 - 0.3)
