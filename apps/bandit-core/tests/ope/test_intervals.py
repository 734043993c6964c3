import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.ope.evaluation import estimate
from bandit_core.ope.intervals import empirical_bernstein_interval
from bandit_core.ope.logged import LoggedDecisions

type Floats = NDArray[np.float64]
type MakeProblem = Callable[..., tuple[LoggedDecisions, Floats, Floats]]

TARGET = np.array([0.75, 0.25])


def uniform(n: int, seed: int = 0) -> LoggedDecisions:
    rng = np.random.default_rng(seed)
    return LoggedDecisions(rng.integers(2, size=n), rng.random(n).round(), np.full(n, 0.5), n_arms=2)


def test_empirical_bernstein_is_the_published_bound_on_both_sides() -> None:
    log = uniform(2_000)
    interval = empirical_bernstein_interval(log, TARGET, method="ipw", max_weight=1.5, level=0.9)
    scaled = TARGET[log.arms] / 0.5 * log.rewards / 1.5
    log_term = math.log(2 / 0.05)
    half = math.sqrt(2 * scaled.var(ddof=1) * log_term / 2_000) + 7 * log_term / (3 * 1_999)
    assert interval.low == pytest.approx(1.5 * (scaled.mean() - half))
    assert interval.high == pytest.approx(1.5 * (scaled.mean() + half))


def test_it_is_wider_than_the_normal_interval_and_cut_to_the_rewards() -> None:
    log = uniform(2_000)
    normal = estimate(log, TARGET, method="ipw").interval
    assert normal is not None
    assert empirical_bernstein_interval(log, TARGET, method="ipw", max_weight=1.5).width > normal.width
    few = empirical_bernstein_interval(uniform(10), TARGET, method="ipw", max_weight=1.5)
    assert (few.low, few.high) == (0.0, 1.0)


def test_a_good_reward_model_narrows_it_through_the_variance(make_problem: MakeProblem) -> None:
    log, _, q_hat = make_problem(n=20_000, n_positions=1)
    target = np.full(4, 0.25)
    known = replace(log, rewards=q_hat[np.arange(len(log)), log.arms], propensities=np.maximum(log.propensities, 0.25))
    plain, robust = (
        empirical_bernstein_interval(known, target, method=method, max_weight=1.0, q_hat=q_hat)
        for method in ("ipw", "dr")
    )
    assert robust.width < plain.width


@pytest.mark.parametrize(
    ("change", "options", "complaint"),
    [
        ({}, {"method": "snipw"}, "for ipw and dr, got 'snipw'"),
        ({}, {"max_weight": 1.2}, "must bound every weight, got 1.2; one is 1.5"),
        ({"adaptive": True}, {}, "use a confidence sequence"),
        ({"rewards": np.full(50, 2.0)}, {}, "a reward of 2 lies outside of rewards"),
        ({}, {"method": "dr", "q_hat": [0.5, 1.5]}, "q_hat of 1.5 lies outside"),
        ({}, {"level": 1.0}, "level must lie strictly between 0 and 1"),
        (
            {"rewards": np.ones(50), "propensities": np.full(50, 0.01)},
            {"max_weight": 75.0},
            "propensities are not those",
        ),
    ],
)
def test_empirical_bernstein_refuses_what_it_does_not_hold_for(
    change: dict[str, Any], options: dict[str, Any], complaint: str
) -> None:
    log = replace(uniform(50), **change)
    with pytest.raises(ValueError, match=complaint):
        empirical_bernstein_interval(log, TARGET, **{"method": "ipw", "max_weight": 1.5, **options})


def test_a_single_decision_has_no_interval() -> None:
    one = uniform(1)
    assert estimate(one, TARGET, method="ipw").interval is None
    with pytest.raises(ValueError, match="at least two decisions"):
        empirical_bernstein_interval(one, TARGET, method="ipw", max_weight=1.5)
