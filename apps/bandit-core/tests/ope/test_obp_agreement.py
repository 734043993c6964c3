"""The estimators agree with the real Open Bandit Pipeline on its sample (values: reference/compute_with_obp.py)."""

from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from bandit_core.ope.estimators import ESTIMATORS, Method
from bandit_core.ope.evaluation import estimate, estimate_all
from bandit_core.ope.logged import LoggedDecisions

CAMPAIGNS = ("all", "men", "women")
DIRECTIONS = ("random-bts", "bts-random")
METHODS = {
    str(method): method
    for method in [
        *(Method(name) for name in ("ipw", "snipw", "dm", "dr", "sndr")),
        *(Method(name, threshold) for threshold in (2, 10) for name in ("ipw", "dr", "switch-dr", "dr-os")),
    ]
}

type Arrays = dict[str, NDArray[Any]]


@cache
def reference(campaign: str, direction: str) -> Arrays:
    with np.load(Path(__file__).parent / "reference" / f"obp-{campaign}.npz") as saved:
        return {
            name.removeprefix(f"{direction}-"): saved[name] for name in saved.files if name.startswith(f"{direction}-")
        }


@cache
def log_of(campaign: str, direction: str) -> LoggedDecisions:
    given = reference(campaign, direction)
    return LoggedDecisions(
        arms=given["arms"],
        rewards=given["rewards"],
        propensities=given["propensity_levels"][given["propensity_codes"]],
        n_arms=given["target"].shape[1],
        positions=given["positions"],
        n_positions=3,
    )


def q_hat_by_round(campaign: str, direction: str) -> NDArray[np.float64]:
    given = reference(campaign, direction)
    return np.asarray(given["q_hat"][given["positions"]] * given["factors"][:, np.newaxis])


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_estimator_agrees_with_obp(campaign: str, direction: str) -> None:
    given = reference(campaign, direction)
    theirs = dict(zip(given["methods"].tolist(), given["values"].tolist(), strict=True))
    results = estimate_all(
        log_of(campaign, direction),
        given["target"],
        methods=list(METHODS.values()),
        q_hat=q_hat_by_round(campaign, direction),
    )
    assert set(theirs) == set(METHODS)
    assert {method.name for method in METHODS.values()} == set(ESTIMATORS) - {"replay"}
    for result in results:
        assert result.estimate == pytest.approx(theirs[result.method], rel=0.0, abs=1e-9), result.method
        assert result.estimate == pytest.approx(theirs[result.method], rel=1e-9), result.method


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_reference_holds_the_sample_s_own_rows(campaign: str, direction: str) -> None:
    """Same rows whatever their order; its positions count from 1, and pandas reads decimals a little less exactly."""
    policy = direction.split("-", maxsplit=1)[0]
    file = Path(str(distribution("obp").locate_file(f"obp/dataset/obd/{policy}/{campaign}/{campaign}.csv")))
    rows = ["item_id", "position", "click", "propensity_score"]
    sample = pl.read_csv(file, columns=rows).select(rows).sort(rows).to_numpy()
    log = log_of(campaign, direction)
    assert log.positions is not None
    kept = np.column_stack([log.arms, log.positions + 1, log.rewards, log.propensities])
    np.testing.assert_allclose(kept[np.lexsort(kept.T[::-1])], sample, rtol=1e-12)


def test_thresholds_of_2_and_10_cut_the_largest_weights_of_random_to_bts() -> None:
    for campaign in CAMPAIGNS:
        given = reference(campaign, "random-bts")
        log = log_of(campaign, "random-bts")
        largest = (given["target"][given["positions"], given["arms"]] / log.propensities).max()
        assert 10.0 < largest < 20.0


def test_a_target_given_by_round_is_the_same_as_by_position() -> None:
    given, log = reference("men", "random-bts"), log_of("men", "random-bts")
    for name in ("ipw", "snipw"):
        by_position = estimate(log, given["target"], method=name)
        by_round = estimate(log, given["target"][given["positions"]], method=name)
        assert by_round.estimate == by_position.estimate
        assert by_round.std_error == by_position.std_error
