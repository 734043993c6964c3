from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.rounds import BLOCK, EvaluationInput

type Floats = NDArray[np.float64]
type MakeProblem = Callable[..., tuple[LoggedDecisions, Floats, Floats]]

LOG = LoggedDecisions(np.array([0, 1, 0]), np.array([1.0, 0.0, 1.0]), np.array([0.5, 0.25, 0.5]), n_arms=3)
ACROSS = 2 * BLOCK + 7


def test_a_round_s_weight_is_the_target_s_probability_over_the_propensity() -> None:
    rounds = EvaluationInput.of(LOG, [0.4, 0.5, 0.1]).rounds()
    assert rounds.weights.tolist() == [0.8, 2.0, 0.8]
    assert rounds.expected is None


def test_a_reward_model_is_averaged_over_all_arms_and_read_at_the_logged_one() -> None:
    rounds = EvaluationInput.of(LOG, [0.4, 0.5, 0.1], [1.0, 2.0, 10.0]).rounds()
    assert rounds.expected is not None
    assert rounds.predicted is not None
    assert rounds.expected.tolist() == pytest.approx([2.4] * 3)
    assert rounds.predicted.tolist() == [1.0, 2.0, 1.0]


def test_coverage_is_the_target_s_probability_on_arms_the_log_has_played() -> None:
    assert EvaluationInput.of(LOG, [0.4, 0.5, 0.1]).rounds().support.coverage == pytest.approx(0.9)
    assert EvaluationInput.of(LOG, [0.4, 0.6, 0.0]).rounds().support.coverage == 1.0


def test_coverage_counts_an_arm_by_position() -> None:
    placed = LoggedDecisions(
        LOG.arms, LOG.rewards, LOG.propensities, n_arms=3, positions=np.array([0, 1, 1]), n_positions=2
    )
    support = EvaluationInput.of(placed, [0.5, 0.5, 0.0]).rounds().support
    assert support.played.tolist() == [[1, 0, 0], [1, 1, 0]]
    assert support.coverage == pytest.approx(1.0 - 0.5 / 3)


def test_blocks_are_the_rounds_in_order(make_problem: MakeProblem) -> None:
    log, target, q_hat = make_problem(n=ACROSS)
    evaluation = EvaluationInput.of(log, target, q_hat)
    blocks, whole = list(evaluation.blocks()), evaluation.rounds()
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 7]
    for name in ("rewards", "weights", "expected", "predicted"):
        assert np.array_equal(np.concatenate([getattr(block, name) for block in blocks]), getattr(whole, name))
    together = blocks[0].support + blocks[1].support + blocks[2].support
    assert np.array_equal(together.played, whole.support.played)
    np.testing.assert_allclose(together.mass, whole.support.mass)


@pytest.mark.parametrize("bad", [[0.5, 0.6, 0.0], [1.2, -0.2, 0.0]])
def test_probabilities_that_are_none_are_refused_with_their_row(bad: list[float]) -> None:
    target = np.tile([0.4, 0.5, 0.1], (ACROSS, 1))
    target[BLOCK + 3] = bad
    log = LoggedDecisions(np.zeros(ACROSS, dtype=int), np.zeros(ACROSS), np.ones(ACROSS), n_arms=3)
    evaluation, complaint = EvaluationInput.of(log, target), rf"add up to 1, got .* in row {BLOCK + 3}"
    with pytest.raises(ValueError, match=complaint):
        evaluation.rounds()
    with pytest.raises(ValueError, match=complaint):
        list(evaluation.blocks())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reward_model_that_is_not_finite_is_refused_with_its_row(value: float) -> None:
    q_hat = np.zeros((3, 3))
    q_hat[2, 1] = value
    with pytest.raises(ValueError, match=r"q_hat must be finite, got .* in row 2"):
        EvaluationInput.of(LOG, [0.4, 0.5, 0.1], q_hat).rounds()
