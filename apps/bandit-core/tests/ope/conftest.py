"""Logs that several specifications share."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.ope.logged import LoggedDecisions
from bandit_core.policies.thompson import Thompson
from bandit_core.simulation import BernoulliEnvironment, Published
from studies.adaptive_simulation import AdaptiveLogs, adaptive_logs

type Floats = NDArray[np.float64]
type Problem = tuple[LoggedDecisions, Floats, Floats]
"""A log, a target policy (n, n_arms) and a reward model (n, n_arms)."""

type PlayThompson = Callable[..., AdaptiveLogs]


@pytest.fixture(scope="session")
def play_thompson() -> PlayThompson:
    """Experiments of Thompson sampling that publishes every 50 decisions, with a floor."""

    def play(means: list[float], *, decisions: int, runs: int, seed: int, floor: float = 0.05) -> AdaptiveLogs:
        strategy = Published(Thompson(), every=50, min_weight=floor)
        environment = BernoulliEnvironment(np.array(means))
        return adaptive_logs(environment, strategy, decisions=decisions, runs=runs, rng=np.random.default_rng(seed))

    return play


@pytest.fixture(scope="session")
def make_problem() -> Callable[..., Problem]:
    """Draw a log in which propensities, target, model and position differ from round to round."""

    def make(n: int = 500, n_arms: int = 4, n_positions: int = 2, seed: int = 0, rate: float = 0.4) -> Problem:
        rng = np.random.default_rng(seed)
        logging = rng.dirichlet(np.full(n_arms, 3.0), n)
        arms = (rng.random((n, 1)) > logging.cumsum(axis=1)[:, :-1]).sum(axis=1)
        log = LoggedDecisions(
            arms=arms,
            rewards=(rng.random(n) < rate).astype(np.float64),
            propensities=logging[np.arange(n), arms],
            n_arms=n_arms,
            positions=rng.integers(n_positions, size=n),
            n_positions=n_positions,
        )
        return log, rng.dirichlet(np.ones(n_arms), n), rng.random((n, n_arms))

    return make
