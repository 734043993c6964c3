from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.ope.diagnostics import diagnose
from bandit_core.ope.evaluation import estimate
from bandit_core.ope.logged import LoggedDecisions

type Floats = NDArray[np.float64]
type MakeProblem = Callable[..., tuple[LoggedDecisions, Floats, Floats]]


def uniform(n: int, rate: float, n_arms: int = 4, seed: int = 0) -> LoggedDecisions:
    rng = np.random.default_rng(seed)
    rewards = (rng.random(n) < rate).astype(np.float64)
    return LoggedDecisions(rng.integers(n_arms, size=n), rewards, np.full(n, 1.0 / n_arms), n_arms=n_arms)


def said(log: LoggedDecisions, target: object, method: str = "ipw", threshold: float | None = None) -> str:
    result = estimate(log, np.asarray(target), method=method, threshold=threshold, q_hat=np.full(log.n_arms, 0.5))
    return " | ".join(result.warnings)


def test_a_log_that_can_speak_warns_of_nothing() -> None:
    assert said(uniform(5_000, 0.3), [0.1, 0.2, 0.3, 0.4]) == ""


def test_few_rewarded_matches_make_the_interval_too_narrow() -> None:
    log = uniform(2_000, 0.005)
    matches = int(((log.arms == 3) & (log.rewards > 0)).sum())
    assert f"only {matches} effective rewarded matches (fewer than 200)" in said(log, np.eye(4)[3])


def test_one_heavy_round_is_named() -> None:
    log = replace(uniform(5_000, 0.5), propensities=np.r_[0.0001, np.full(4_999, 0.25)])
    target = np.eye(4)[log.arms[0]]
    assert "one round carries" in said(log, target)
    assert "one round carries" not in said(log, target, threshold=10.0)


def test_arms_the_log_never_played_are_told() -> None:
    log = uniform(5_000, 0.5)
    never = LoggedDecisions(log.arms, log.rewards, log.propensities, n_arms=5)
    assert "arms that hold 30% of the evaluation policy's probability" in said(never, [0.4, 0.1, 0.1, 0.1, 0.3])


def test_wrong_propensities_show_in_the_mean_weight() -> None:
    log = uniform(5_000, 0.5)
    wrong = replace(log, propensities=np.full(5_000, 0.2))
    assert "the mean weight is 1.25 and should be 1" in said(wrong, np.full(4, 0.25))
    assert "mean weight" not in said(wrong, np.full(4, 0.25), threshold=1.0)


def test_a_policy_that_shares_no_arm_with_the_log_is_told() -> None:
    log = LoggedDecisions(np.zeros(10, dtype=int), np.ones(10), np.ones(10), n_arms=2)
    assert "says nothing about this policy" in said(log, [0.0, 1.0], "snipw")


def test_an_adaptive_log_is_told() -> None:
    assert "use a confidence sequence" in said(replace(uniform(5_000, 0.3), adaptive=True), np.full(4, 0.25))


def test_the_direct_method_says_what_its_interval_leaves_out() -> None:
    assert "leaves out the error of the reward model" in said(uniform(5_000, 0.3), np.full(4, 0.25), "dm")


def test_diagnostics_describe_the_weights(make_problem: MakeProblem) -> None:
    log, target, _ = make_problem()
    found = diagnose(log, target)
    weights = target[np.arange(len(log)), log.arms] / log.propensities
    assert found.weights[0.5] == pytest.approx(np.median(weights))
    assert found.largest_weight == weights.max()
    assert found.mean_weight == pytest.approx(weights.mean())
    assert found.mean_weight_std_error == pytest.approx(weights.std(ddof=1) / np.sqrt(500))
    assert found.ess == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert (found.n, found.matches, found.rewarded_matches) == (500, 500, int(log.rewards.sum()))
    assert found.target_share.sum() == pytest.approx(1.0)
    assert found.log_share.sum() == pytest.approx(1.0)


def test_overlap_is_1_for_the_log_s_own_shares_and_0_for_another_arm() -> None:
    log = LoggedDecisions(np.array([0, 0, 1, 1]), np.ones(4), np.full(4, 0.5), n_arms=3)
    assert diagnose(log, [0.5, 0.5, 0.0]).overlap == pytest.approx(1.0)
    assert diagnose(log, [0.0, 0.0, 1.0]).overlap == 0.0
    assert diagnose(log, [1.0, 0.0, 0.0]).overlap == pytest.approx(0.5)
