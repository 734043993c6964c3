"""Policies that know the visitor: what they earn above one that does not, where the truth is known."""

from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from bandit_core.ope.logged import LoggedDecisions
from bandit_pipeline.obd.rounds import USER_FEATURES
from bandit_pipeline.ope.contextual import difference, frequent_values, targets, with_contexts
from bandit_pipeline.ope.evaluation import by_context

# Each kind of visitor has an arm of its own that earns 0.6; the others earn 0.2.
BEST, OTHER = 0.6, 0.2


def simulated(seed: int, n: int = 6_000) -> LoggedDecisions:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    arms = rng.integers(0, 3, n)
    rewards = (rng.random(n) < np.where(arms == kind, BEST, OTHER)).astype(np.float64)
    contexts = np.stack([kind == 1, kind == 2], axis=1).astype(np.float64)
    return LoggedDecisions(arms=arms, rewards=rewards, propensities=np.full(n, 1 / 3), n_arms=3, contexts=contexts)


def test_what_knowing_the_visitor_is_worth_is_found() -> None:
    rows = {(row[1], row[2]): cast("Any", row) for row in by_context(simulated(0), thresholds=[], seed=0)}
    for name in ("linear_thompson", "linucb"):
        _, _, _, estimate, std_error, low, high, n, ess, *_ = rows[f"{name} over thompson", "dr"]
        # Without knowing the visitor every arm earns a third of the best and two thirds of the other rate.
        truth = BEST - (BEST + 2 * OTHER) / 3
        assert abs(estimate - truth) < 4 * std_error
        assert low < estimate < high
        assert 0 < ess <= n == 3_000
        assert rows[name, "snipw"][3] == pytest.approx(BEST, abs=0.06)


def test_the_pairing_makes_the_difference_better_known_than_its_parts() -> None:
    log = simulated(1)
    [(_, one), *_] = targets(log.rows(slice(0, 3_000)), log.rows(slice(3_000, 6_000)))
    judge = log.rows(slice(3_000, 6_000))
    q_hat = np.full((3_000, 3), 0.3)
    itself = difference(judge, one, one, q_hat)
    assert (itself.estimate, itself.std_error) == (0.0, 0.0)


def test_vectors_are_probabilities_and_depend_on_the_context_alone() -> None:
    log = simulated(2, 600)
    for _, vectors in targets(log, log):
        np.testing.assert_allclose(vectors.sum(axis=1), 1.0)
        first = (log.contexts[:, 0] == 1) if log.contexts is not None else None
        assert np.ptp(vectors[first], axis=0).max() == 0.0


def test_the_most_frequent_values_become_columns_and_the_first_is_the_base() -> None:
    frame = pl.DataFrame({"position": [0, 1, 2, 2]} | {name: ["x", "x", "y", "z"] for name in USER_FEATURES})
    values = frequent_values(frame)
    assert values == {name: ["y", "z"] for name in USER_FEATURES}
    wide, names = with_contexts(frame, values)
    assert names == [f"{name}={value}" for name in USER_FEATURES for value in "yz"] + ["position=0", "position=1"]
    assert wide["user_feature_0=y"].to_list() == [0.0, 0.0, 1.0, 0.0]
    assert wide["position=0"].to_list() == [1.0, 0.0, 0.0, 0.0]
