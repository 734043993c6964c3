"""Forgetting: factors on exact sums, which give what a decayed Beta posterior gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.adaptive.forgetting import decay_factors, decayed
from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.robust_beliefs import rate_beliefs
from bandit_core.posteriors import DecayedBeta

versions = st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=20)


@given(versions, st.floats(1.0, 200.0))
def test_constant_weights_give_the_decayed_beta(made: list[tuple[float, int, int]], half_life: float) -> None:
    """One decision a version, in any order of time, against forward decay one reward after another."""
    arms = [DecayedBeta(half_life, 0.0), DecayedBeta(half_life, 0.0)]
    for at, arm, reward in made:
        arms[arm] = arms[arm].update(reward, at)
    count = np.eye(2)[[arm for _, arm, _ in made]]
    won = count * np.array([[reward] for _, _, reward in made])
    sums = PairSums.of(np.full((len(made), 2), 0.5), count, won, won)
    beliefs = rate_beliefs(("a", "b"), decayed(sums, [at for at, _, _ in made], 100.0, half_life), np.ones((2, 2)))
    wanted = [arm.at(100.0) for arm in arms]
    np.testing.assert_allclose(beliefs.alpha, [each.alpha for each in wanted], rtol=1e-9)
    np.testing.assert_allclose(beliefs.beta, [each.beta for each in wanted], rtol=1e-9)


def test_without_a_half_life_nothing_fades() -> None:
    assert decay_factors([0.0, 5.0], 100.0, None).tolist() == [1.0, 1.0]
    assert decay_factors([90.0, 100.0, 110.0], 100.0, 10.0).tolist() == [0.5, 1.0, 1.0]
    with pytest.raises(ValueError, match="half_life"):
        decay_factors([0.0], 1.0, 0.0)


def test_what_is_old_fades_to_the_prior() -> None:
    sums = PairSums.of([[0.5, 0.5]], [[900, 900]], [[90, 300]], [[90, 300]])
    beliefs = rate_beliefs(("a", "b"), decayed(sums, [0.0], 1e4, 100.0), [[2.0, 6.0], [3.0, 1.0]])
    np.testing.assert_allclose(beliefs.mean, [0.25, 0.75], atol=1e-9)
