"""Logs whose truth is known, for what is tested on adaptive logs."""

from collections.abc import Callable

import numpy as np
import pytest

from bandit_core.ope.adaptive_simulation import AdaptiveLogs, adaptive_logs
from bandit_core.policies.thompson import Thompson
from bandit_core.simulation import BernoulliEnvironment, Published

type PlayThompson = Callable[..., AdaptiveLogs]


@pytest.fixture(scope="session")
def play_thompson() -> PlayThompson:
    """Experiments of Thompson sampling that publishes every 50 decisions, with a floor."""

    def play(means: list[float], *, decisions: int, runs: int, seed: int, floor: float = 0.05) -> AdaptiveLogs:
        strategy = Published(Thompson(), every=50, min_weight=floor)
        environment = BernoulliEnvironment(np.array(means))
        return adaptive_logs(environment, strategy, decisions=decisions, runs=runs, rng=np.random.default_rng(seed))

    return play
