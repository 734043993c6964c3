from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandit_core.ope.estimators import ESTIMATORS, Method
from bandit_core.ope.evaluation import estimate
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.rounds import EvaluationInput

type Floats = NDArray[np.float64]
type Problem = tuple[LoggedDecisions, Floats, Floats]
type MakeProblem = Callable[..., Problem]

HAND = LoggedDecisions(np.array([0, 1, 0, 1]), np.array([1.0, 0.0, 0.0, 1.0]), np.full(4, 0.5), n_arms=2)
TARGET = [0.75, 0.25]
MODEL = [0.4, 0.8]

BY_HAND = {
    "replay": (1.5 + 0.5) / 4,
    "dm": 0.75 * 0.4 + 0.25 * 0.8,
    "ipw": (1.5 * 1 + 0.5 * 1) / 4,
    "ipw(1)": (1.0 + 0.5) / 4,
    "snipw": 2.0 / 4.0,
    "snipw(1)": 1.5 / 3.0,
    "dr": 0.5 + (1.5 * 0.6 - 0.5 * 0.8 - 1.5 * 0.4 + 0.5 * 0.2) / 4,
    "dr(1)": 0.5 + (0.6 - 0.5 * 0.8 - 0.4 + 0.5 * 0.2) / 4,
    "sndr(1)": 0.5 + (0.6 - 0.5 * 0.8 - 0.4 + 0.5 * 0.2) / 3,
    "switch-dr(1)": 0.5 + (-0.5 * 0.8 + 0.5 * 0.2) / 4,
    "dr-os(2)": 0.5 + (3 / 4.25 * (0.6 - 0.4) + 1 / 2.25 * (0.2 - 0.8)) / 4,
}


def method_of(label: str) -> dict[str, Any]:
    name, _, threshold = label.removesuffix(")").partition("(")
    return {"method": name, "threshold": float(threshold) if threshold else None}


@pytest.mark.parametrize("label", BY_HAND)
def test_four_rounds_by_hand(label: str) -> None:
    method = method_of(label)
    q_hat = MODEL if ESTIMATORS[method["method"]].needs_q_hat else None
    result = estimate(HAND, TARGET, **method, q_hat=q_hat)
    assert result.estimate == pytest.approx(BY_HAND[label])
    assert result.method == label


@given(st.integers(0, 10_000))
def test_ipw_and_dr_are_unbiased_whatever_the_reward_model(seed: int) -> None:
    """Exactly: the estimates from one decision, averaged over the arms the log's policy could have played."""
    rng = np.random.default_rng(seed)
    logging, target, means, q_hat = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3)), rng.random(3), rng.random(3)
    for name in ("ipw", "dr"):
        estimates = [
            estimate(
                LoggedDecisions(np.array([arm]), means[[arm]], logging[[arm]], n_arms=3),
                target,
                method=name,
                q_hat=q_hat,
            ).estimate
            for arm in range(3)
        ]
        assert logging @ estimates == pytest.approx(target @ means)


@pytest.mark.parametrize("name", ["dr", "sndr"])
def test_with_a_perfect_reward_model_doubly_robust_is_the_direct_method(make_problem: MakeProblem, name: str) -> None:
    log, target, q_hat = make_problem()
    perfect = replace(log, rewards=q_hat[np.arange(len(log)), log.arms])
    direct = estimate(perfect, target, method="dm", q_hat=q_hat)
    result = estimate(perfect, target, method=name, q_hat=q_hat)
    assert result.estimate == pytest.approx(direct.estimate)
    assert result.std_error == pytest.approx(direct.std_error)


@pytest.mark.parametrize("name", ["ipw", "snipw", "dr", "sndr"])
def test_a_threshold_above_every_weight_changes_nothing(make_problem: MakeProblem, name: str) -> None:
    log, target, q_hat = make_problem()
    free, loose = (estimate(log, target, method=name, q_hat=q_hat, threshold=limit) for limit in (None, 1e9))
    assert (free.estimate, free.std_error, free.ess) == (loose.estimate, loose.std_error, loose.ess)


def test_at_its_ends_shrinkage_is_the_direct_method_and_doubly_robust(make_problem: MakeProblem) -> None:
    log, target, q_hat = make_problem()

    def value(name: str, threshold: float | None = None) -> float:
        return estimate(log, target, method=name, q_hat=q_hat, threshold=threshold).estimate

    assert value("dr-os", 0.0) == pytest.approx(value("dm"))
    assert value("dr-os", np.inf) == pytest.approx(value("dr"))
    assert value("switch-dr", 0.0) == pytest.approx(value("dm"))
    assert value("switch-dr", np.inf) == pytest.approx(value("dr"))


@pytest.mark.parametrize("name", ["snipw", "replay"])
def test_normalised_weights_stay_within_the_rewards_and_move_with_them(make_problem: MakeProblem, name: str) -> None:
    log, target, _ = make_problem(n=30)
    result = estimate(log, target, method=name)
    assert 0.0 <= result.estimate <= 1.0
    moved = estimate(replace(log, rewards=log.rewards + 100.0), target, method=name)
    assert moved.estimate == pytest.approx(result.estimate + 100.0)
    assert moved.std_error == pytest.approx(result.std_error)


def test_replay_of_a_deterministic_policy_is_the_mean_of_its_matches() -> None:
    rng = np.random.default_rng(1)
    arms, rewards = rng.integers(5, size=1_000), rng.random(1_000)
    log = LoggedDecisions(arms, rewards, np.full(1_000, 0.2), n_arms=5)
    result = estimate(log, np.eye(5)[3], method="replay")
    assert result.estimate == pytest.approx(rewards[arms == 3].mean())
    assert result.ess == pytest.approx((arms == 3).sum())


def test_replay_of_a_stochastic_policy_is_what_rejection_sampling_averages_to(make_problem: MakeProblem) -> None:
    log, target, _ = make_problem(n=200)
    result = estimate(log, target, method="replay")
    weights = EvaluationInput.of(log, target).rounds().weights
    kept = np.random.default_rng(2).random((20_000, 200)) < weights / weights.max()
    sizes = kept.sum(axis=1)
    assert sizes.mean() == pytest.approx(result.ess, abs=4 * sizes.std() / np.sqrt(20_000))
    assert (kept @ log.rewards).sum() / sizes.sum() == pytest.approx(result.estimate, abs=0.005)


@pytest.mark.parametrize(
    ("name", "threshold", "complaint"),
    [
        ("ips", None, "no estimator 'ips'; there are replay, dm, ipw"),
        ("switch-dr", None, "switch-dr needs a threshold"),
        ("dm", 2.0, "dm has no threshold"),
        ("ipw", -1.0, "threshold must be a finite number of at least 0"),
        ("ipw", float("nan"), "threshold must be"),
    ],
)
def test_a_method_that_cannot_be_is_refused(name: str, threshold: float | None, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Method(name, threshold)


@pytest.mark.parametrize("name", [name for name, found in ESTIMATORS.items() if found.needs_q_hat])
def test_an_estimator_with_a_reward_model_asks_for_it(name: str) -> None:
    threshold = 2.0 if ESTIMATORS[name].threshold == "required" else None
    with pytest.raises(ValueError, match="needs q_hat"):
        estimate(HAND, TARGET, method=name, threshold=threshold)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_names_its_source(name: str) -> None:
    documentation = ESTIMATORS[name].contribute.__doc__ or ""
    assert any(str(year) in documentation for year in range(1950, 2025))
