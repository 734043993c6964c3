from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.ope.evaluation import estimate
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.reward_model import cross_fitted, smoothed_means

type Floats = NDArray[np.float64]
type MakeProblem = Callable[..., tuple[LoggedDecisions, Floats, Floats]]


def contextual(n: int = 4_000, seed: int = 0) -> tuple[LoggedDecisions, Floats]:
    """Two arms whose mean rewards move in opposite directions with the first of two features: log and true means."""
    rng = np.random.default_rng(seed)
    contexts = rng.normal(5.0, 2.0, (n, 2))
    slope = 0.1 * (contexts[:, 0] - 5.0) / 2.0
    means = np.clip(np.column_stack([0.5 + slope, 0.3 - slope]), 0.0, 1.0)
    arms = rng.integers(2, size=n)
    rewards = (rng.random(n) < means[np.arange(n), arms]).astype(np.float64)
    return LoggedDecisions(arms, rewards, np.full(n, 0.5), n_arms=2, contexts=contexts), means


def test_an_arm_s_mean_is_drawn_towards_that_of_the_whole_log() -> None:
    log = LoggedDecisions(np.array([0, 0, 1, 0]), np.array([1.0, 0.0, 1.0, 0.0]), np.full(4, 0.5), n_arms=3)
    assert smoothed_means(log, prior_rounds=2.0).tolist() == [[(1 + 1) / 5, (1 + 1) / 3, 0.5]]


def test_means_are_taken_by_position(make_problem: MakeProblem) -> None:
    log, _, _ = make_problem()
    assert log.positions is not None
    chosen = (log.positions == 1) & (log.arms == 2)
    assert smoothed_means(log, prior_rounds=1e-9)[1, 2] == pytest.approx(log.rewards[chosen].mean())


def test_a_round_s_own_reward_does_not_enter_its_model(make_problem: MakeProblem) -> None:
    log, _, _ = make_problem(n=40)
    log = replace(log, contexts=np.random.default_rng(0).random((40, 2)))
    before = cross_fitted(log, rng=np.random.default_rng(1))
    for row in (0, 17, 39):
        rewards = log.rewards.copy()
        rewards[row] += 10.0
        after = cross_fitted(replace(log, rewards=rewards), rng=np.random.default_rng(1))
        assert np.array_equal(after[row], before[row])
        assert not np.array_equal(after, before)


def test_contexts_bring_the_model_closer_to_the_truth() -> None:
    log, means = contextual()
    with_contexts = cross_fitted(log, rng=np.random.default_rng(1))
    without = cross_fitted(replace(log, contexts=None), rng=np.random.default_rng(1))
    assert np.abs(with_contexts - means).mean() < np.abs(without - means).mean() / 2


def test_a_model_with_contexts_lowers_the_error_of_the_doubly_robust_estimate() -> None:
    log, means = contextual(n=20_000)
    target = np.where(means[:, :1] > means[:, 1:], [0.9, 0.1], [0.1, 0.9])
    q_hat = cross_fitted(log, rng=np.random.default_rng(1))
    robust, plain = (estimate(log, target, method=method, q_hat=q_hat) for method in ("dr", "ipw"))
    assert robust.std_error < plain.std_error
    assert abs(robust.estimate - (target * means).sum(axis=1).mean()) < 4 * robust.std_error


def test_a_feature_that_never_changes_is_harmless(make_problem: MakeProblem) -> None:
    log, _, _ = make_problem()
    constant = cross_fitted(replace(log, contexts=np.ones((len(log), 1))), rng=np.random.default_rng(1))
    assert np.array_equal(constant, cross_fitted(log, rng=np.random.default_rng(1)))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"folds": 1}, "folds must be a whole number of at least 2"),
        ({"folds": 41}, "41 folds of 40"),
        ({"prior_rounds": 0.0}, "prior_rounds must be"),
        ({"penalty": -1.0}, "penalty must be"),
    ],
)
def test_wrong_settings_are_refused(make_problem: MakeProblem, options: dict[str, float], complaint: str) -> None:
    log, _, _ = make_problem(n=40)
    with pytest.raises(ValueError, match=complaint):
        cross_fitted(log, rng=np.random.default_rng(0), **options)  # type: ignore[arg-type]


def test_an_adaptive_log_is_refused_with_the_reason(make_problem: MakeProblem) -> None:
    log, _, _ = make_problem()
    with pytest.raises(ValueError, match="earlier decisions only"):
        cross_fitted(replace(log, adaptive=True), rng=np.random.default_rng(0))
