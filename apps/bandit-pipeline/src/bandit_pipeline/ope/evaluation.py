"""Every estimator for every policy, with the error where the truth is known.

Known is what the two logging policies earned themselves: the random log tells what random choice is worth, the BTS log
what Bernoulli Thompson sampling is worth. So each of the two is evaluated on the log of the other. Registered policies
learn from the first half of the random log and are evaluated on its second half; what they would really earn, nobody
knows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bandit_core.ope.estimators import ESTIMATORS, Method
from bandit_core.ope.evaluation import estimate_all
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.result import OPEResult
from bandit_core.ope.reward_model import cross_fitted
from bandit_core.policies import make_policy
from bandit_core.policies.base import Beliefs
from bandit_core.simulation import arm_ids
from bandit_pipeline.ope.contextual import MOST_ROWS, Difference, difference, targets, without_contexts
from bandit_pipeline.replay.policies import registered

SCHEMA: Final = {
    "behavior_policy": pl.String,
    "evaluation_policy": pl.String,
    "method": pl.String,
    "estimate": pl.Float64,
    "std_error": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "ess": pl.Float64,
    "coverage": pl.Float64,
    "on_policy_value": pl.Float64,
    "on_policy_std_error": pl.Float64,
    "relative_error": pl.Float64,
    "warnings": pl.String,
}


@dataclass(frozen=True, slots=True)
class Question:
    """What would a policy have earned in place of the one that made the log? `truth` is known for some: mean, error."""

    behavior: str
    policy: str
    log: LoggedDecisions
    target: NDArray[np.float64]
    truth: tuple[float, float] | None


def evaluate(random: LoggedDecisions, bts: LoggedDecisions, *, thresholds: Sequence[float], seed: int) -> pl.DataFrame:
    """Return one row per policy and method, in the columns of `SCHEMA`."""
    rows = []
    known, unknown = without_contexts(random), without_contexts(bts)
    for question in questions(known, unknown):
        q_hat = cross_fitted(question.log, rng=np.random.default_rng(seed))
        found = estimate_all(question.log, question.target, methods=methods(thresholds), q_hat=q_hat)
        rows += [_row(question, result) for result in found]
    rows += by_context(random, thresholds=thresholds, seed=seed)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))


def by_context(random: LoggedDecisions, *, thresholds: Sequence[float], seed: int) -> list[tuple[object, ...]]:
    """Return rows of policies that know the visitor, and of how much more they earn than Thompson sampling without.

    They learn from the first half of the random log and are judged on the second, Thompson sampling on the same rows.
    """
    if random.contexts is None:
        return []
    half = len(random) // 2
    learn, judge = random.rows(slice(0, half)), random.rows(slice(half, min(len(random), half + MOST_ROWS)))
    plain = without_contexts(judge)
    q_hat = cross_fitted(judge, rng=np.random.default_rng(seed))
    thompson = np.tile(make_policy("thompson").propose(beliefs(learn)).weights, (len(judge), 1))
    rows = []
    for name, target in targets(learn, judge):
        question = Question("random", name, plain, target, None)
        rows += [_row(question, each) for each in estimate_all(plain, target, methods=methods(thresholds), q_hat=q_hat)]
        rows.append(_difference_row(name, difference(plain, target, thompson, q_hat)))
    return rows


def _difference_row(name: str, found: Difference) -> tuple[object, ...]:
    numbers = (found.estimate, found.std_error, found.low, found.high, found.n, found.ess, 1.0)
    return ("random", f"{name} over thompson", "dr", *numbers, None, None, None, "")


def methods(thresholds: Sequence[float]) -> list[Method]:
    """Return every estimator, plain where that is possible, and with each threshold where it takes one."""
    return [method for name in ESTIMATORS for method in _forms(name, thresholds)]


def _forms(name: str, thresholds: Sequence[float]) -> Iterator[Method]:
    use = ESTIMATORS[name].threshold
    if use != "required":
        yield Method(name)
    if use != "none":
        yield from (Method(name, threshold) for threshold in thresholds)


def questions(random: LoggedDecisions, bts: LoggedDecisions) -> Iterator[Question]:
    """Yield what is evaluated on which log."""
    uniform = np.full(random.n_arms, 1.0 / random.n_arms)
    yield Question("random", "bts", random, shares(bts), _mean(bts.rewards))
    yield Question("bts", "random", bts, uniform, _mean(random.rewards))
    half = len(random) // 2
    learned, held_out = beliefs(random.rows(slice(0, half))), random.rows(slice(half, len(random)))
    for name, policy in registered(random.rows(slice(0, half))).items():
        yield Question("random", name, held_out, policy.propose(learned).weights, None)


def shares(log: LoggedDecisions) -> NDArray[np.float64]:
    """Return how often each arm was chosen in each position (n_positions, n_arms): what a log's policy did on average.

    The policy of the BTS log moved a little all the time; its average is what its own mean reward belongs to.
    """
    positions = np.zeros(len(log), dtype=np.int64) if log.positions is None else log.positions
    counts = np.zeros((log.n_positions, log.n_arms))
    np.add.at(counts, (positions, log.arms), 1.0)
    averaged: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
    return averaged


def beliefs(log: LoggedDecisions) -> Beliefs:
    """Return Beta posteriors of the arms from a flat prior."""
    clicks = np.bincount(log.arms, weights=log.rewards, minlength=log.n_arms)
    rounds = np.bincount(log.arms, minlength=log.n_arms)
    return Beliefs(arm_ids(log.n_arms), 1.0 + clicks, 1.0 + rounds - clicks)


def _mean(rewards: NDArray[np.float64]) -> tuple[float, float]:
    return float(rewards.mean()), float(rewards.std(ddof=1) / np.sqrt(len(rewards)))


def _row(question: Question, result: OPEResult) -> tuple[object, ...]:
    interval, truth = result.interval, question.truth
    return (
        question.behavior,
        question.policy,
        result.method,
        result.estimate,
        result.std_error,
        interval.low if interval else None,
        interval.high if interval else None,
        result.n,
        result.ess,
        result.coverage,
        truth[0] if truth else None,
        truth[1] if truth else None,
        abs(result.estimate - truth[0]) / truth[0] if truth and truth[0] > 0.0 else None,
        "; ".join(result.warnings),
    )
