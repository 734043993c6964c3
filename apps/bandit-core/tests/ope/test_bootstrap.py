from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.ope.bootstrap import DRAWS, bootstrap_interval, resampled_estimates
from bandit_core.ope.estimators import Contributions, Method
from bandit_core.ope.evaluation import estimate
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.rounds import EvaluationInput

type Floats = NDArray[np.float64]
type MakeProblem = Callable[..., tuple[LoggedDecisions, Floats, Floats]]


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 1_000])
def test_every_round_is_drawn_equally_often_and_n_in_all(n: int) -> None:
    """Each round alone: its number of draws has mean 1 and variance 1 − 1/n."""
    resamples = 20_000
    for place in {0, n // 2, n - 1}:
        only = np.zeros(n)
        only[place] = n
        drawn = resampled_estimates(Contributions(only), resamples=resamples, rng=np.random.default_rng(place))
        assert np.array_equal(drawn, np.round(drawn))
        assert drawn.mean() == pytest.approx(1.0, abs=5 / np.sqrt(resamples) + 1e-12)
        assert drawn.var() == pytest.approx(1.0 - 1.0 / n, abs=0.06)
    assert np.all(resampled_estimates(Contributions(np.ones(n)), resamples=100, rng=np.random.default_rng(0)) == 1.0)


def test_two_rounds_are_drawn_as_in_a_multinomial() -> None:
    """Covariance −1/n of the numbers of draws, within a run of 256 rounds and across runs."""
    n, resamples = 600, 50_000
    for pair in ((3, 200), (3, 300), (520, 590)):
        both = np.zeros(n)
        both[list(pair)] = n
        drawn = resampled_estimates(Contributions(both), resamples=resamples, rng=np.random.default_rng(7))
        assert drawn.var() == pytest.approx(2 * (1 - 1 / n) - 2 / n, abs=5 * np.sqrt(2 * 4 / resamples) * 1.3)


@pytest.mark.parametrize(
    "method", [Method("ipw"), Method("dr"), Method("snipw"), Method("sndr"), Method("dm")], ids=str
)
def test_resamples_vary_as_the_standard_error_says(make_problem: MakeProblem, method: Method) -> None:
    log, target, q_hat = make_problem(n=3_000)
    result = estimate(log, target, method=method.name, q_hat=q_hat)
    contributed = method.contribute(EvaluationInput.of(log, target, q_hat).rounds())
    values = resampled_estimates(contributed, resamples=4_000, rng=np.random.default_rng(3))
    assert values.std() == pytest.approx(result.std_error, rel=0.06)
    assert values.mean() == pytest.approx(result.estimate, abs=result.std_error / 8)


def test_a_ratio_uses_the_same_draws_above_and_below() -> None:
    rng = np.random.default_rng(0)
    weights = rng.random(700)
    values = resampled_estimates(Contributions(3.0 * weights, share=weights), resamples=200, rng=rng)
    np.testing.assert_allclose(values, 3.0)


def test_the_interval_is_the_middle_of_the_resampled_estimates(make_problem: MakeProblem) -> None:
    log, target, _ = make_problem()
    contributed = Method("ipw").contribute(EvaluationInput.of(log, target).rounds())
    values = resampled_estimates(contributed, resamples=500, rng=np.random.default_rng(5))
    interval = bootstrap_interval(log, target, method="ipw", resamples=500, level=0.9, rng=np.random.default_rng(5))
    assert [interval.low, interval.high] == np.percentile(values, [5, 95]).tolist()
    assert (interval.kind, interval.level) == ("bootstrap", 0.9)


def test_the_same_seed_gives_the_same_draws_however_many_tasks_share_them() -> None:
    gain = np.random.default_rng(1).random(DRAWS // 150)
    first, again = (
        resampled_estimates(Contributions(gain), resamples=400, rng=np.random.default_rng(9)) for _ in range(2)
    )
    assert np.array_equal(first, again)
    assert len(np.unique(first)) == 400


def test_an_adaptive_log_is_refused_with_the_reason(make_problem: MakeProblem) -> None:
    log, target, _ = make_problem()
    with pytest.raises(ValueError, match="learned from its own rewards: each propensity depends on earlier rewards"):
        bootstrap_interval(replace(log, adaptive=True), target, method="ipw", rng=np.random.default_rng(0))


def test_a_ratio_that_a_resample_leaves_undefined_is_refused() -> None:
    log = LoggedDecisions(np.array([0, 1, 1]), np.ones(3), np.full(3, 0.5), n_arms=2)
    with pytest.raises(ValueError, match="no round of positive weight"):
        bootstrap_interval(log, [1.0, 0.0], method="snipw", rng=np.random.default_rng(0))


def test_a_handful_of_resamples_is_refused(make_problem: MakeProblem) -> None:
    log, target, _ = make_problem()
    with pytest.raises(ValueError, match="resamples must be a whole number of at least 100"):
        bootstrap_interval(log, target, method="ipw", resamples=10, rng=np.random.default_rng(0))
