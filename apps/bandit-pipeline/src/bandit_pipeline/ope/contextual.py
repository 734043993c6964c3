"""Policies that decide by who the visitor is, beside one that does not: learnt on half a log, judged on the other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bandit_core.contextual import LinearBeliefs, contextual_policy_names, linear_weights, make_contextual_policy
from bandit_core.ope.logged import LoggedDecisions
from bandit_pipeline.obd.rounds import POSITIONS, USER_FEATURES

type Floats = NDArray[np.float64]

ALPHA: Final = 0.1
MOST_VALUES: Final = 8
"""So many values of each user feature are told apart, the most frequent ones; the rest count as one."""

MOST_ROWS: Final = 200_000
"""So many rows are judged: a vector for each is too much for the memory in the full log."""

_NORMAL_95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more one policy earns than another, estimated on the same rows, with an interval of 95%."""

    estimate: float
    std_error: float
    low: float
    high: float
    n: int
    ess: float


def with_contexts(frame: pl.DataFrame, values: dict[str, list[str]]) -> tuple[pl.DataFrame, list[str]]:
    """Return a log with a column of 0 and 1 for each value of each user feature and each position, and their names."""
    columns = [
        (pl.col(feature) == value).cast(pl.Float64).alias(f"{feature}={value}")
        for feature, known in values.items()
        for value in known
    ]
    # The last position is the base that the intercept stands for.
    columns += [
        (pl.col("position") == place).cast(pl.Float64).alias(f"position={place}") for place in range(POSITIONS - 1)
    ]
    wide = frame.with_columns(columns)
    return wide, wide.columns[len(frame.columns) :]


def frequent_values(frame: pl.DataFrame) -> dict[str, list[str]]:
    """Return the most frequent values of each user feature, less the first, which the intercept stands for."""
    return {
        feature: frame[feature]
        .value_counts()
        .sort(["count", feature], descending=[True, False])[feature]
        .to_list()[1:MOST_VALUES]
        for feature in USER_FEATURES
    }


def targets(learn: LoggedDecisions, judge: LoggedDecisions) -> Iterator[tuple[str, Floats]]:
    """Yield each contextual policy with its vector for every row that is judged (n, n_arms)."""
    beliefs = _beliefs(learn)
    contexts, which = np.unique(_design(judge), axis=0, return_inverse=True)
    for name in contextual_policy_names():
        policy = make_contextual_policy(name, {"alpha": ALPHA})
        vectors = np.array([linear_weights(policy, beliefs, x, 0.0) for x in contexts])
        yield name, vectors[which.ravel()]


def difference(log: LoggedDecisions, one: Floats, other: Floats, q_hat: Floats) -> Difference:
    """Return the doubly robust estimate of what one target earns above another, paired row by row.

    `one`, `other` and `q_hat` are (n, n_arms). The same rows and the same reward model judge both, so what they have in
    common falls out of the error (Dudík, Langford and Li 2011, applied to the difference of two targets).
    """
    rows = np.arange(len(log))
    apart = one - other
    weights = apart[rows, log.arms] / log.propensities
    values = (apart * q_hat).sum(axis=1) + weights * (log.rewards - q_hat[rows, log.arms])
    estimate, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    size = np.abs(weights)
    ess = float(size.sum() ** 2 / (size**2).sum()) if size.any() else float(len(values))
    reach = _NORMAL_95 * error
    return Difference(estimate, error, estimate - reach, estimate + reach, len(values), ess)


def without_contexts(log: LoggedDecisions) -> LoggedDecisions:
    return replace(log, contexts=None)


def _beliefs(log: LoggedDecisions) -> LinearBeliefs:
    """Return the ridge regression of each arm's rewards, solved at once: it is the same as one by one."""
    x = _design(log)
    dimension = x.shape[1]
    theta, covariance = np.zeros((log.n_arms, dimension)), np.zeros((log.n_arms, dimension, dimension))
    for arm in range(log.n_arms):
        own = log.arms == arm
        covariance[arm] = np.linalg.inv(np.eye(dimension) + x[own].T @ x[own])
        theta[arm] = covariance[arm] @ (x[own].T @ log.rewards[own])
    return LinearBeliefs(tuple(map(str, range(log.n_arms))), theta, covariance)


def _design(log: LoggedDecisions) -> Floats:
    contexts = np.empty((len(log), 0)) if log.contexts is None else log.contexts
    return np.hstack([contexts, np.ones((len(log), 1))])
