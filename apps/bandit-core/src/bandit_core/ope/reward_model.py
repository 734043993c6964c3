"""Reward models q̂ for logs of independent rounds: what each arm would earn, fitted without the round it is used on.

Cross-fitting (Chernozhukov et al. 2018, "Double/debiased machine learning"): a round's q̂ comes from the other folds, so
that the doubly robust estimators stay unbiased whatever the model. Adaptive logs need q̂ from earlier decisions only:
`bandit_core.ope.running_means`.
"""

import numpy as np
from numpy.typing import NDArray

from bandit_core.checks import check_number, check_whole
from bandit_core.ope.logged import LoggedDecisions

type Floats = NDArray[np.float64]


def cross_fitted(
    log: LoggedDecisions,
    *,
    rng: np.random.Generator,
    folds: int = 5,
    prior_rounds: float = 100.0,
    penalty: float | None = None,
) -> Floats:
    """Return q̂ (n, n_arms): for every round, each arm's mean reward in the round's position and context.

    An arm's mean in a position is drawn towards the mean of all rounds as by `prior_rounds` > 0 rounds of that mean.
    With contexts an arm's ridge regression on the standardised contexts is added, fitted to what its means leave over;
    `penalty` > 0 is added to the diagonal (default: `prior_rounds`), so that arms with few rounds keep their means.

    Rounds are dealt to `folds` in [2, n] parts of nearly equal size by `rng`. ValueError for an adaptive log.
    """
    if log.adaptive:
        raise ValueError(
            "cross-fitting would use later rewards of a log whose policy learned from them: fit q_hat on earlier "
            "decisions only (bandit_core.ope.running_means)"
        )
    check_number("prior_rounds", prior_rounds, low=0.0, exclusive=True)
    strength = prior_rounds if penalty is None else penalty
    check_number("penalty", strength, low=0.0, exclusive=True)
    check_whole("folds", folds, low=2)
    n = len(log)
    if folds > n:
        raise ValueError(f"folds must be at most the number of rounds, got {folds} folds of {n}")
    fold = rng.permutation(n) % folds
    q_hat = np.empty((n, log.n_arms))
    for held_out in range(folds):
        inside = fold == held_out
        training, applied = log.rows(~inside), log.rows(inside)
        means = smoothed_means(training, prior_rounds=prior_rounds)
        q_hat[inside] = means[_positions(applied)]
        if training.contexts is not None and applied.contexts is not None:
            center, scale = training.contexts.mean(axis=0), training.contexts.std(axis=0)
            scale[scale == 0.0] = 1.0
            left_over = training.rewards - means[_positions(training), training.arms]
            slopes = _ridge((training.contexts - center) / scale, left_over, training.arms, log.n_arms, strength)
            q_hat[inside] += (applied.contexts - center) / scale @ slopes.T
    return q_hat


def smoothed_means(log: LoggedDecisions, *, prior_rounds: float = 100.0) -> Floats:
    """Return the mean reward (n_positions, n_arms) of each arm by position, drawn towards that of the whole log.

    As by `prior_rounds` > 0 more rounds of the log's mean reward: an arm never played has that mean.
    """
    check_number("prior_rounds", prior_rounds, low=0.0, exclusive=True)
    cells, shape = _positions(log) * log.n_arms + log.arms, (log.n_positions, log.n_arms)
    played = np.bincount(cells, minlength=shape[0] * shape[1])
    earned = np.bincount(cells, weights=log.rewards, minlength=shape[0] * shape[1])
    means: Floats = (earned + prior_rounds * log.rewards.mean()) / (played + prior_rounds)
    return means.reshape(shape)


def _positions(log: LoggedDecisions) -> NDArray[np.int64]:
    return np.zeros(len(log), dtype=np.int64) if log.positions is None else log.positions


def _ridge(features: Floats, rewards: Floats, arms: NDArray[np.int64], n_arms: int, penalty: float) -> Floats:
    """Return slopes (n_arms, d) of each arm's ridge regression without intercept."""
    d = features.shape[1]
    slopes = np.zeros((n_arms, d))
    for arm in np.unique(arms):
        x = features[arms == arm]
        slopes[arm] = np.linalg.solve(x.T @ x + penalty * np.eye(d), x.T @ rewards[arms == arm])
    return slopes
