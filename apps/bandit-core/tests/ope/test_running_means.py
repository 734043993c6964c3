"""The adaptive reward model sees earlier, resolved decisions and nothing else."""

import numpy as np
import pytest

from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.running_means import running_means


def random_log(seed: int, n: int = 60) -> LoggedDecisions:
    rng = np.random.default_rng(seed)
    return LoggedDecisions(
        rng.integers(0, 3, n), rng.random(n), np.full(n, 1 / 3), 3, positions=rng.integers(0, 2, n), n_positions=2
    )


def test_they_are_the_shrunken_means_of_a_plain_loop() -> None:
    log, known = random_log(0), np.maximum(np.arange(60) - 5, 0)
    q_hat = running_means(log, known, start=0.5)
    assert log.positions is not None
    for row in range(60):
        seen = slice(0, known[row])
        overall = (0.5 + log.rewards[seen].sum()) / (1 + known[row])
        for arm in range(3):
            played = (log.arms[seen] == arm) & (log.positions[seen] == log.positions[row])
            expected = (overall + log.rewards[seen][played].sum()) / (1 + played.sum())
            assert q_hat[row, arm] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("row", [0, 10, 59])
def test_what_is_not_known_yet_changes_nothing(row: int) -> None:
    log, known = random_log(1), np.maximum(np.arange(60) - 5, 0)
    rewards = log.rewards.copy()
    rewards[known[row] :] = 99.0
    changed = LoggedDecisions(log.arms, rewards, log.propensities, 3, positions=log.positions, n_positions=2)
    np.testing.assert_array_equal(
        running_means(changed, known, start=0.0)[: row + 1], running_means(log, known, start=0.0)[: row + 1]
    )
