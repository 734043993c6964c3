"""The sleep example at full size: what knowing the participant is worth, and how much of it is earned."""

import numpy as np
import pytest

from bandit_core.contextual import LinearThompson, LinUCB
from bandit_core.sleep import measured_shares

pytestmark = pytest.mark.verify


@pytest.mark.parametrize("policy", [LinUCB(alpha=0.3), LinearThompson(alpha=0.3), LinearThompson(alpha=0.1)], ids=str)
def test_at_least_nine_tenths_of_the_oracles_advantage_are_earned(policy: LinUCB | LinearThompson) -> None:
    shares = measured_shares(policy, [20_000], [np.random.default_rng(run) for run in range(20)])
    assert shares.mean() >= 0.9
