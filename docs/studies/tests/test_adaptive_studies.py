"""The studies in small: bounds that chance does not reach. The full sizes are in verify."""

import math

import numpy as np
import pytest

from studies.adaptive_studies import Experiment, study_arm_values, study_confidence_sequence, study_ipw

MEANS = np.array([0.1, 0.2, 0.3])


def test_ipw_is_unbiased_with_exact_propensities_and_a_floor() -> None:
    """Five standard errors."""
    found = study_ipw(Experiment(MEANS, 0.05, 400), runs=600, rng=np.random.default_rng(0))
    assert abs(found["exact"].mean()) < 5 * found["exact"].std(ddof=1) / math.sqrt(600)
    assert found["largest"].max() <= (1 / 3) / 0.05 * (1 + 1e-9)


def test_without_a_floor_weights_explode_and_the_typical_estimate_is_too_low() -> None:
    found = study_ipw(Experiment(np.array([0.2, 0.4]), 0.0, 400), runs=300, rng=np.random.default_rng(1))
    assert np.median(found["exact"]) < -0.01
    assert found["largest"].max() > 100
    assert np.median(found["ess"]) < 300


def test_monte_carlo_propensities_bias_the_estimate_by_what_the_exact_weights_tell() -> None:
    """With a floor both ways of measuring it agree within five standard errors."""
    found = study_ipw(Experiment(np.array([0.2, 0.4]), 0.02, 400), runs=600, rng=np.random.default_rng(4))
    added = found["monte carlo"] - found["exact"]
    assert abs((added - found["monte carlo bias"]).mean()) < 5 * added.std(ddof=1) / math.sqrt(600)
    assert np.abs(found["monte carlo bias"]).max() > 0


def test_arm_values_and_their_coverage_are_reported_per_arm_and_for_the_contrast() -> None:
    found = study_arm_values(Experiment(MEANS, 0.1, 600), runs=60, rng=np.random.default_rng(2))
    assert found["errors"].shape == found["plain covered"].shape == (60, 4)
    np.testing.assert_allclose(found["errors"][:, 3], found["errors"][:, 2] - found["errors"][:, 0])
    assert (found["covered"].mean(axis=0) > 0.75).all()


@pytest.mark.parametrize(("knowledge", "delay"), [("nothing", 0), ("floor", 0), ("weights", 100)])
def test_the_confidence_sequence_rarely_loses_the_value(knowledge: str, delay: int) -> None:
    """More than 17 misses of 100 at the level 0.95 have a probability of 6e-6 at most."""
    found = study_confidence_sequence(
        Experiment(MEANS, 0.05, 400),
        np.full(3, 1 / 3),
        knowledge=knowledge,
        delay=delay,
        looks=(100, 400),
        runs=100,
        rng=np.random.default_rng(3),
    )
    assert found["outside"].sum() <= 17
    assert (found["widths"][:, 1] <= found["widths"][:, 0]).all()
