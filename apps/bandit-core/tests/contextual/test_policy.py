"""What holds for every contextual policy, and the vector with its floor."""

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandit_core.contextual import (
    ContextualPolicy,
    LinearBeliefs,
    contextual_policy_names,
    linear_weights,
    make_contextual_policy,
)
from bandit_core.guardrails import InfeasibleLimits

type Array = NDArray[np.float64]

every_policy = pytest.mark.parametrize("policy", [make_contextual_policy(name) for name in contextual_policy_names()])


def beliefs_of(count: int, dimension: int, seed: int) -> LinearBeliefs:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(count, dimension, dimension))
    arms = tuple(f"arm-{place}" for place in range(count))
    return LinearBeliefs(arms, rng.normal(size=(count, dimension)), root @ root.swapaxes(1, 2))


@st.composite
def situation(draw: st.DrawFn) -> tuple[LinearBeliefs, Array, float]:
    """Beliefs, a context, and the least weight of an arm."""
    count, dimension = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    x = draw(st.lists(st.floats(-10.0, 10.0), min_size=dimension, max_size=dimension))
    floor = draw(st.sampled_from([0.0, 0.01, 0.5, 1.0])) / count
    return beliefs_of(count, dimension, draw(st.integers(0, 1_000))), np.array(x), floor


@every_policy
@settings(max_examples=60, deadline=None)
@given(given_situation=situation())
def test_weights_sum_to_1_and_none_is_below_the_floor(
    policy: ContextualPolicy, given_situation: tuple[LinearBeliefs, Array, float]
) -> None:
    weights = linear_weights(policy, *given_situation)
    assert weights.shape == (len(given_situation[0].arms),)
    assert (weights >= given_situation[2]).all()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)


@every_policy
@settings(max_examples=60, deadline=None)
@given(given_situation=situation(), seed=st.integers(0, 1_000))
def test_the_order_of_arms_does_not_matter(
    policy: ContextualPolicy, given_situation: tuple[LinearBeliefs, Array, float], seed: int
) -> None:
    beliefs, x, floor = given_situation
    order = np.random.default_rng(seed).permutation(len(beliefs.arms))
    permuted = beliefs.subset([beliefs.arms[place] for place in order])
    np.testing.assert_allclose(
        linear_weights(policy, permuted, x, floor), linear_weights(policy, beliefs, x, floor)[order], atol=1e-12
    )


@every_policy
def test_many_contexts_get_the_vectors_of_each(policy: ContextualPolicy) -> None:
    beliefs, contexts = beliefs_of(4, 3, seed=1), np.random.default_rng(2).normal(size=(20, 3))
    alone = [linear_weights(policy, beliefs, x, 0.05) for x in contexts]
    np.testing.assert_allclose(linear_weights(policy, beliefs, contexts, 0.05), alone, rtol=0.0, atol=1e-12)


@every_policy
def test_the_floor_is_mixed_in(policy: ContextualPolicy) -> None:
    """(1 − K m) w + m: what the policy prefers keeps its proportions above the floor."""
    beliefs, x = beliefs_of(4, 3, seed=1), np.array([0.2, -1.0, 1.0])
    bare = linear_weights(policy, beliefs, x, 0.0)
    np.testing.assert_allclose(linear_weights(policy, beliefs, x, 0.05), 0.8 * bare + 0.05, rtol=1e-15)
    assert linear_weights(policy, beliefs, x, 0.25).tolist() == [0.25] * 4


@every_policy
def test_arms_of_which_nothing_is_known_share_equally(policy: ContextualPolicy) -> None:
    beliefs = LinearBeliefs(("a", "b", "c"), np.zeros((3, 2)), np.array([np.eye(2)] * 3))
    np.testing.assert_allclose(linear_weights(policy, beliefs, np.array([0.4, 1.0]), 0.0), 1.0 / 3.0, rtol=1e-12)


@every_policy
def test_a_floor_that_not_every_arm_can_have_is_refused(policy: ContextualPolicy) -> None:
    with pytest.raises(InfeasibleLimits, match=r"min_weight 0\.3 for each of 4 arms adds up to more than 1"):
        linear_weights(policy, beliefs_of(4, 2, seed=1), np.ones(2), 0.3)


@every_policy
def test_a_context_of_another_length_is_refused(policy: ContextualPolicy) -> None:
    with pytest.raises(ValueError, match=r"x must have the shape \(2,\) or \(N, 2\), got \(3,\)"):
        linear_weights(policy, beliefs_of(4, 2, seed=1), np.ones(3), 0.0)


@every_policy
def test_is_an_immutable_value_with_a_title_for_sentences(policy: ContextualPolicy) -> None:
    assert policy.title.strip() == policy.title != ""
    for field in fields(policy):
        with pytest.raises(FrozenInstanceError):
            setattr(policy, field.name, None)
