"""What holds for every registered policy; a new one is tested by being registered."""

from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_core.policies import make_policy, policy_names, policy_parameters
from bandit_core.policies.base import Beliefs, Policy

EXAMPLES: dict[str, dict[str, Any]] = {"fixed": {"weights": {"arm-0": 3.0, "arm-1": 1.0}}}
"""Parameters of the policies that cannot be made without."""

every_policy = pytest.mark.parametrize("policy", [make_policy(name, EXAMPLES.get(name)) for name in policy_names()])

parameters = st.one_of(st.sampled_from([0.05, 1.0, 1e6]), st.floats(0.05, 1e6))


def beliefs_of(alpha: list[float], beta: list[float]) -> Beliefs:
    return Beliefs(tuple(f"arm-{index}" for index in range(len(alpha))), np.array(alpha), np.array(beta))


@st.composite
def beliefs(draw: st.DrawFn) -> Beliefs:
    n_arms = draw(st.integers(1, 8))
    alpha, beta = (draw(st.lists(parameters, min_size=n_arms, max_size=n_arms)) for _ in range(2))
    return beliefs_of(alpha, beta)


@every_policy
@settings(max_examples=40, deadline=None)
@given(beliefs=beliefs())
def test_proposes_a_probability_vector(policy: Policy, beliefs: Beliefs) -> None:
    weights = policy.propose(beliefs).weights
    assert weights.shape == (len(beliefs.arms),)
    assert (weights >= 0.0).all()
    assert abs(weights.sum() - 1.0) <= 1e-9


@every_policy
@settings(max_examples=40, deadline=None)
@given(beliefs=beliefs(), random=st.randoms(use_true_random=False))
def test_treats_arms_by_their_beliefs_and_not_by_their_position(policy: Policy, beliefs: Beliefs, random: Any) -> None:
    order = list(range(len(beliefs.arms)))
    random.shuffle(order)
    permuted = Beliefs(tuple(beliefs.arms[index] for index in order), beliefs.alpha[order], beliefs.beta[order])
    assert policy.propose(permuted).weights == pytest.approx(policy.propose(beliefs).weights[order], abs=1e-8)


@every_policy
@settings(max_examples=20, deadline=None)
@given(beliefs=beliefs())
def test_same_beliefs_give_the_same_weights(policy: Policy, beliefs: Beliefs) -> None:
    again = Beliefs(beliefs.arms, beliefs.alpha, beliefs.beta)
    assert np.array_equal(policy.propose(beliefs).weights, policy.propose(again).weights)


@every_policy
@settings(max_examples=20, deadline=None)
@given(beliefs=beliefs())
def test_numbers_are_finite_and_one_for_each_arm(policy: Policy, beliefs: Beliefs) -> None:
    for name, values in policy.propose(beliefs).numbers.items():
        assert values.shape == (len(beliefs.arms),), name
        assert np.isfinite(values).all(), name


@every_policy
def test_gives_the_only_arm_everything(policy: Policy) -> None:
    assert policy.propose(beliefs_of([2.0], [7.0])).weights.tolist() == [1.0]


@every_policy
def test_proposes_for_a_thousand_arms(policy: Policy) -> None:
    rng = np.random.default_rng(3)
    successes = rng.binomial(1_000, 0.05, size=1_000)
    weights = policy.propose(beliefs_of((1.0 + successes).tolist(), (1_001.0 - successes).tolist())).weights
    assert (weights >= 0.0).all()
    assert abs(weights.sum() - 1.0) <= 1e-9


@every_policy
@pytest.mark.parametrize(
    ("alpha", "beta"),
    [
        ([0.05, 1e6], [1e6, 0.05]),
        ([1e6, 1e6, 1e6], [1e6, 1e6 + 1.0, 1e6]),
        ([9e5, 5e5, 1.0], [1e5, 5e5, 9e5]),
        ([0.05, 0.05], [0.05, 0.05]),
    ],
    ids=["unequal", "nearly-identical", "far-apart", "uninformed"],
)
def test_stays_finite_for_extreme_beliefs(policy: Policy, alpha: list[float], beta: list[float]) -> None:
    weights = policy.propose(beliefs_of(alpha, beta)).weights
    assert np.isfinite(weights).all()
    assert abs(weights.sum() - 1.0) <= 1e-9


@every_policy
def test_is_an_immutable_value_made_again_from_its_parameters(policy: Policy) -> None:
    assert make_policy(policy.name, policy_parameters(policy)) == policy
    for field in fields(policy):
        with pytest.raises(FrozenInstanceError):
            setattr(policy, field.name, None)


@every_policy
def test_has_a_title_for_sentences(policy: Policy) -> None:
    assert policy.title.strip() == policy.title != ""
