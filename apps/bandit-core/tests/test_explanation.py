"""Explanations: stored without loss, and readable by people who do not know the method."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.allocation import ArmState, Explanation, allocate
from bandit_core.explanation import ArmExplanation, Hold, Relaxation
from bandit_core.guardrails import Guardrails, preset
from bandit_core.policies import make_policy

THIRDS = {"a": 0.33, "b": 0.33, "c": 0.34}

finite = st.floats(0.0, 1e6)
share = st.floats(0.0, 1.0)
names = st.text(max_size=8)

explanations = st.builds(
    Explanation,
    strategy=names,
    title=names,
    parameters=st.dictionaries(names, share | st.none() | st.dictionaries(names, share)),
    guardrails=st.builds(
        Guardrails,
        min_trials=st.integers(0, 1000),
        max_step=st.floats(0.01, 1.0),
        min_weight=share,
        cooldown=finite,
    ),
    arms=st.lists(
        st.builds(
            ArmExplanation,
            id=names,
            trials=finite,
            mean=share,
            numbers=st.dictionaries(names, finite),
            proposed=st.none() | share,
            previous=st.none() | share,
            lower=share,
            upper=share,
            bound=st.sampled_from([None, "min_weight", "max_step", "min_trials", "cooldown", "entry"]),
            weight=share,
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    first=st.booleans(),
    holds=st.lists(
        st.builds(
            Hold,
            guardrail=st.sampled_from(["min_trials", "cooldown"]),
            observed=finite,
            required=finite,
            arms=st.lists(names).map(tuple),
        )
    ).map(tuple),
    joined=st.lists(names).map(tuple),
    left=st.dictionaries(names, share),
    waiting=st.lists(names).map(tuple),
    relaxation=st.none()
    | st.builds(
        Relaxation,
        configured=share,
        used=share,
        reasons=st.lists(st.sampled_from(["joined", "left", "floor"])).map(tuple),
    ),
)


@given(explanations)
def test_nothing_is_lost_on_the_way_through_json(explanation: Explanation) -> None:
    record = explanation.to_dict()
    assert Explanation.from_dict(record) == explanation
    assert Explanation.from_dict(json.loads(json.dumps(record, allow_nan=False))) == explanation


def arm(name: str, trials: int, successes: int) -> ArmState:
    return ArmState(name, 1.0 + successes, 1.0 + trials - successes, trials)


A, B, C = arm("a", 1000, 50), arm("b", 1000, 65), arm("c", 1000, 55)


def explain(
    arms: Sequence[ArmState],
    guardrails: Guardrails,
    previous: dict[str, float] | None,
    since: float | None = None,
    policy: str = "thompson",
) -> Explanation:
    return allocate(
        arms=arms,
        policy=make_policy(policy),
        guardrails=guardrails,
        previous=previous,
        seconds_since_change=since,
    ).explanation


def paragraph(
    arms: Sequence[ArmState],
    guardrails: Guardrails,
    previous: dict[str, float] | None,
    since: float | None = None,
    policy: str = "thompson",
) -> str:
    return explain(arms, guardrails, previous, since, policy).paragraph()


def test_a_step_limit_is_told_with_what_it_allowed() -> None:
    assert paragraph((A, B, C), Guardrails(max_step=0.1), THIRDS) == (
        "Thompson sampling proposes 78.7% for b, whose chance of being best is 78.7% (estimated rate 6.59% from 1,000 "
        "rewards), 16% for c and 5.3% for a. max_step allows at most 10 points per update, so b goes from 33% to 43%. "
        "With what that leaves, a goes from 33% to 23.2% and c goes from 34% to 33.8%. The weights are now b 43%, "
        "c 33.8% and a 23.2%."
    )


def test_weights_nothing_held_back_are_told_without_guardrails() -> None:
    assert paragraph((A, B, C), Guardrails(min_weight=0.05), THIRDS) == (
        "Thompson sampling proposes 78.7% for b, whose chance of being best is 78.7% (estimated rate 6.59% from 1,000 "
        "rewards), 16% for c and 5.3% for a. b goes from 33% to 78.7%, a goes from 33% to 5.3% and c goes from 34% to "
        "16%. The weights are now b 78.7%, c 16% and a 5.3%."
    )


def test_a_floor_is_told_with_the_arms_it_keeps() -> None:
    assert "min_weight keeps a at 10%. The first weights are b 76.4%, c 13.6% and a 10%." in paragraph(
        (A, B, C), Guardrails(min_weight=0.1), None
    )


def test_a_hold_for_data_is_told_with_the_arm_that_lacks_it() -> None:
    lacking = (A, B, arm("c", 312, 20))
    reason = "because min_trials asks for 500 rewards per arm before weights move and c has 312."
    assert f"The weights stay where they are, {reason} The weights are still c 34%, a 33% and b 33%." in paragraph(
        lacking, Guardrails(min_trials=500), THIRDS
    )
    assert f"All arms start with the same weight, {reason} The first weights are a 33.3%, b 33.3%" in paragraph(
        lacking, Guardrails(min_trials=500), None
    )


def test_a_cooldown_is_told_with_its_times() -> None:
    assert (
        "because cooldown asks for 1 hour between changes and the last one was 10 minutes ago." in
        paragraph((A, B, C), preset("safe", 3), THIRDS, since=600.0)
    )  # fmt: skip


def test_arms_that_join_wait_and_leave_are_told() -> None:
    newcomer = arm("d", 20, 2)
    joins = paragraph((A, B, C, newcomer), Guardrails(min_trials=500, min_weight=0.05), THIRDS)
    assert "d joined and starts at 5%." in joins
    waits = paragraph(
        (A, B, C, newcomer), Guardrails(min_trials=500, min_weight=0.05), {"a": 0.2, "b": 0.45, "c": 0.3, "d": 0.05}
    )
    assert "d may not rise before having 500 rewards (min_trials)." in waits
    leaves = paragraph((A, B), Guardrails(max_step=0.1), {"a": 0.1, "b": 0.2, "c": 0.7})
    assert "c left, which frees 70%. For this update max_step is relaxed from 10 points to 35 points" in leaves
    assert "because an arm left." in leaves


@pytest.mark.parametrize(
    ("policy", "beginning"),
    [
        ("bayes_ucb", "Bayes-UCB proposes 100% for b, whose rate may be as high as 9.56% (estimated rate 6.59% from"),
        (
            "epsilon_greedy",
            "Epsilon-greedy (epsilon 0.1) proposes 93.3% for b (estimated rate 6.59% from 1,000 rewards)",
        ),
        ("top_two_thompson", "Top-two Thompson sampling (beta 0.5) proposes 49% for b, whose chance of being best is"),
        ("uniform", "The uniform split proposes the same weight, 33.3%, for each of 3 arms."),
    ],
)
def test_each_policy_tells_its_own_numbers(policy: str, beginning: str) -> None:
    assert paragraph((A, B, C), Guardrails(), THIRDS, policy=policy).startswith(beginning)


def test_of_a_thousand_arms_the_few_that_matter_are_named() -> None:
    successes = np.random.default_rng(5).binomial(1000, 0.05, 1000)
    arms = [arm(f"arm-{index}", 1000, int(wins)) for index, wins in enumerate(successes)]
    text = paragraph(arms, preset("neutral", 1000), {state.id: 1e-3 for state in arms})
    assert len(text) < 800
    assert "for the 999 others together" in text
    assert "others at 0.01%" in text
    assert "others move less" in text


@given(explanations)
def test_every_explanation_has_a_paragraph(explanation: Explanation) -> None:
    """Also one read from an old record, whatever combination of reasons it holds."""
    if any(row.proposed is not None for row in explanation.arms) and explanation.title:
        assert explanation.paragraph().endswith(".")
