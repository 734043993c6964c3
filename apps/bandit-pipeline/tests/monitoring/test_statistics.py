"""The mathematics of the checks, against what is known of it."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from bandit_pipeline.monitoring.statistics import drift_p_value


def test_drift_agrees_with_welch_for_many_rewards() -> None:
    rng = np.random.default_rng(7)
    recent, before = rng.binomial(1, 0.05, 5_000), rng.binomial(1, 0.06, 8_000)
    ours = drift_p_value(*((len(x), float(x.sum()), float((x * x).sum())) for x in (recent, before)))
    assert ours == pytest.approx(ttest_ind(recent, before, equal_var=False).pvalue, rel=0.01)


def test_too_few_rewards_say_nothing() -> None:
    assert drift_p_value((1, 1.0, 1.0), (100, 0.0, 0.0)) == 1.0
    assert drift_p_value((5, 0.0, 0.0), (100, 0.0, 0.0)) == 1.0
