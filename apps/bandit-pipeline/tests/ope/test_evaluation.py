"""Every estimator for every policy, with the error where the truth is known."""

import numpy as np
import polars as pl
import pytest

from bandit_core.ope.estimators import ESTIMATORS
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.policies import policy_names
from bandit_pipeline.ope.assets import keep
from bandit_pipeline.ope.evaluation import SCHEMA, evaluate, methods, shares
from bandit_pipeline.resources import BanditService, Postgres
from bandit_pipeline.resources.postgres import fetch

MEANS = np.array([0.2, 0.5, 0.7])
WEIGHTS = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]])


def simulated(weights: np.ndarray, seed: int, n: int = 6_000) -> LoggedDecisions:
    rng = np.random.default_rng(seed)
    positions = rng.integers(0, 2, n)
    arms = (rng.random(n)[:, None] > weights[positions].cumsum(axis=1)).sum(axis=1)
    rewards = (rng.random(n) < MEANS[arms]).astype(np.float64)
    return LoggedDecisions(
        arms=arms, rewards=rewards, propensities=weights[positions, arms], n_arms=3, positions=positions, n_positions=2
    )


@pytest.fixture(scope="module")
def found() -> pl.DataFrame:
    return evaluate(simulated(np.full((2, 3), 1 / 3), 1), simulated(WEIGHTS, 2), thresholds=[10.0], seed=0)


def test_every_estimator_meets_every_policy(found: pl.DataFrame) -> None:
    assert dict(found.schema) == SCHEMA
    pairs = set(found.select("evaluation_policy", "method").iter_rows())
    used = [str(method) for method in methods([10.0])]
    assert pairs == {(policy, method) for policy in ("bts", "random", *policy_names()) for method in used}
    assert {method.partition("(")[0] for method in used} == set(ESTIMATORS)


def test_the_error_is_given_exactly_where_the_truth_is_known(found: pl.DataFrame) -> None:
    known = found.filter(pl.col("relative_error").is_not_null())
    assert set(known["evaluation_policy"]) == {"bts", "random"}
    for row in known.iter_rows(named=True):
        assert row["relative_error"] == pytest.approx(abs(row["estimate"] / row["on_policy_value"] - 1))


def test_estimates_lie_near_the_truth(found: pl.DataFrame) -> None:
    plain = found.filter(
        pl.col("method").is_in(["ipw", "snipw", "dr", "sndr"]) & pl.col("on_policy_value").is_not_null()
    )
    assert len(plain) == 8
    for row in plain.iter_rows(named=True):
        error = np.hypot(row["std_error"], row["on_policy_std_error"])
        assert abs(row["estimate"] - row["on_policy_value"]) < 4 * error


def test_shares_are_those_of_the_log() -> None:
    assert shares(simulated(WEIGHTS, 3, n=50_000)) == pytest.approx(WEIGHTS, abs=0.01)


def test_a_new_evaluation_replaces_the_one_before(
    service: BanditService, service_postgres: Postgres, found: pl.DataFrame
) -> None:
    keep(service, "men", "old", found)
    keep(service, "women", "other", found.head(1))
    keep(service, "men", "new", found.head(3))
    query = "SELECT experiment_id, dataset, digest, count(*) AS rows FROM ope_results_v1 GROUP BY 1, 2, 3 ORDER BY 1"
    with service_postgres.transaction() as connection:
        rows = [tuple(row.values()) for row in fetch(connection, query)]
    assert rows == [("obp-men", "obp/men", "new", 3), ("obp-women", "obp/women", "other", 1)]
