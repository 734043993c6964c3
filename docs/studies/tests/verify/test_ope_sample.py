"""What the Open Bandit sample can show: its logs, and what each estimator makes of them beside the on-policy truth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.ope.diagnostics import MIN_REWARDED, diagnose
from bandit_core.ope.estimators import Method
from bandit_core.ope.evaluation import estimate_all
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.result import OPEResult
from bandit_core.ope.reward_model import cross_fitted

pytestmark = pytest.mark.verify

REFERENCE = Path(__file__).parents[4] / "apps" / "bandit-core" / "tests" / "ope" / "reference"
CAMPAIGNS = ("all", "men", "women")
DIRECTIONS = (("random", "bts"), ("bts", "random"))
CASES = [(campaign, *direction) for campaign in CAMPAIGNS for direction in DIRECTIONS]
METHODS = [Method("ipw"), Method("snipw"), Method("dr"), Method("switch-dr", 10), Method("dr-os", 10), Method("dm")]


def logged(campaign: str, behavior: str, target: str) -> tuple[LoggedDecisions, NDArray[Any]]:
    with np.load(REFERENCE / f"obp-{campaign}.npz") as saved:
        given = {
            name: saved[f"{behavior}-{target}-{name}"]
            for name in ("arms", "positions", "rewards", "propensity_levels", "propensity_codes", "target")
        }
    log = LoggedDecisions(
        arms=given["arms"],
        rewards=given["rewards"],
        propensities=given["propensity_levels"][given["propensity_codes"]],
        n_arms=given["target"].shape[1],
        positions=given["positions"],
        n_positions=3,
    )
    return log, given["target"]


def per_thousand(estimate: float, half: float) -> str:
    return f"{1_000 * estimate:.2f} ± {1_000 * half:.2f}"


def half_width(result: OPEResult) -> float:
    assert result.interval is not None
    return result.interval.width / 2


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_sample_s_logs_have_few_rewarded_matches(case: tuple[str, str, str], record: Callable[..., None]) -> None:
    campaign, behavior, target_policy = case
    log, target = logged(*case)
    found = diagnose(log, target)
    assert 38 <= log.rewards.sum() <= 69
    assert found.effective_rewarded < MIN_REWARDED
    assert any("effective rewarded match" in warning for warning in found.warnings)
    record(
        "ope_sample_logs",
        part=CASES.index(case) + 1,
        of=len(CASES),
        columns=[
            "campaign",
            "log → policy",
            "arms",
            "clicks in 10,000",
            "effective rewarded matches",
            "effective sample size",
            "largest weight",
            "overlap",
            "coverage",
        ],
        rows=[
            [
                campaign,
                f"{behavior} → {target_policy}",
                str(log.n_arms),
                f"{log.rewards.sum():.0f}",
                f"{found.effective_rewarded:.1f}",
                f"{found.ess:,.0f}",
                f"{found.largest_weight:.1f}",
                f"{found.overlap:.2f}",
                f"{100 * found.coverage:.1f}%",
            ]
        ],
    )


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_estimates_stand_beside_the_click_rate_that_policy_had(
    case: tuple[str, str, str], record: Callable[..., None]
) -> None:
    campaign, behavior, target_policy = case
    log, target = logged(*case)
    truth, _ = logged(campaign, target_policy, behavior)
    q_hat = cross_fitted(log, rng=np.random.default_rng(0))
    results = estimate_all(log, target, methods=METHODS, q_hat=q_hat)
    on_policy, error = float(truth.rewards.mean()), float(truth.rewards.std(ddof=1) / np.sqrt(len(truth)))
    assert all(result.warnings for result in results)
    record(
        "ope_sample_estimates",
        part=CASES.index(case) + 1,
        of=len(CASES),
        columns=["campaign", "log → policy", "on-policy", *(str(method) for method in METHODS)],
        rows=[
            [
                campaign,
                f"{behavior} → {target_policy}",
                per_thousand(on_policy, 1.96 * error),
                *(per_thousand(result.estimate, half_width(result)) for result in results),
            ]
        ],
    )
