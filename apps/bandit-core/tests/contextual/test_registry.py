"""Contextual policies by name, with their parameters checked."""

import pytest

from bandit_core.contextual import LinearThompson, LinUCB, contextual_policy_names, make_contextual_policy
from bandit_core.policies import policy_names


def test_names_are_listed_and_are_no_names_of_policies_without_a_context() -> None:
    assert contextual_policy_names() == ("linear_thompson", "linucb")
    assert not set(contextual_policy_names()) & set(policy_names())


def test_makes_a_policy_from_its_parameters() -> None:
    assert make_contextual_policy("linucb", {"alpha": 0.3, "ridge": 2.0}) == LinUCB(alpha=0.3, ridge=2.0)
    assert make_contextual_policy("linear_thompson", {"half_life": 3600}) == LinearThompson(half_life=3600)


def test_parameters_may_be_left_to_their_defaults() -> None:
    assert make_contextual_policy("linucb") == LinUCB(alpha=1.0, ridge=1.0, half_life=None)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("ucb", {}, "unknown policy 'ucb', known are linear_thompson, linucb"),
        ("linucb", {"beta": 1}, "policy 'linucb' has no parameter 'beta'; its parameters are alpha, ridge, half_life"),
        ("linucb", {"alpha": -0.1}, "linucb: alpha must be a finite number of at least 0, got -0.1"),
        ("linear_thompson", {"alpha": "1"}, "linear_thompson: alpha must be a finite number .* got '1'"),
        ("linear_thompson", {"ridge": 0}, "linear_thompson: ridge must be a finite number above 0, got 0"),
        ("linucb", {"half_life": 0.0}, "linucb: half_life must be a finite number above 0, got 0.0"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(name: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_contextual_policy(name, params)
