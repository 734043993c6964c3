"""The registry: policies by name, with their parameters checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

import bandit_core.policies
from bandit_core.policies import make_policy, policy_names, policy_parameters, register
from bandit_core.policies.base import ArmBeliefs, Proposal
from bandit_core.policies.top_two_thompson import TopTwoThompson


def test_every_file_in_the_folder_but_the_framework_is_a_policy_of_that_name() -> None:
    files = {path.stem for path in Path(bandit_core.policies.__file__).parent.glob("*.py")}
    assert set(policy_names()) == files - {"__init__", "base", "registry"}


def test_makes_a_policy_from_its_parameters_and_back() -> None:
    policy = make_policy("top_two_thompson", {"beta": 0.3})
    assert policy == TopTwoThompson(beta=0.3)
    assert policy_parameters(policy) == {"beta": 0.3}


def test_parameters_may_be_left_to_their_defaults() -> None:
    assert make_policy("top_two_thompson") == TopTwoThompson(beta=0.5)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("best", {}, "unknown policy 'best', known are bayes_ucb, epsilon_greedy, fixed, thompson, top_two_thompson"),
        ("epsilon_greedy", {"eps": 0.1}, "policy 'epsilon_greedy' has no parameter 'eps'; its parameters are epsilon"),
        ("thompson", {"seed": 1}, "policy 'thompson' has no parameter 'seed'; it has none"),
        ("fixed", {}, "policy 'fixed' needs weights"),
        ("epsilon_greedy", {"epsilon": 1.5}, "epsilon_greedy: epsilon must be .* at most 1, got 1.5"),
        ("epsilon_greedy", {"epsilon": "0.1"}, "epsilon_greedy: epsilon must be a finite number .* got '0.1'"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(name: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_policy(name, params)


def test_two_policies_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match=r"two policies are called 'thompson': Thompson and .*Impostor"):

        @register
        @dataclass(frozen=True)
        class Impostor:
            name: ClassVar[str] = "thompson"
            title: ClassVar[str] = "an impostor"

            def propose(self, beliefs: ArmBeliefs) -> Proposal:
                raise NotImplementedError
