"""Outcomes become rewards in [0, 1], or are ignored; everything else is an error that says what is known."""

import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.rewards import (
    Binary,
    Outcome,
    OutcomeMap,
    RewardModel,
    Ternary,
    Threshold,
    check_reward,
    make_reward_model,
)

ISSUE_MAP = {"type": "map", "outcomes": {"click": 1, "dismiss": 0, "rating": {"success": 4, "failure": 2}}}

MODELS = [
    Binary(),
    Ternary(),
    Ternary(neutral=0.5),
    Threshold(),
    Threshold(success=0.5, failure=-0.5, neutral=0.0),
    OutcomeMap({"click": 1, "skip": None, "rating": Threshold(), "thumb": Ternary()}),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
entries = json_values | st.floats(0, 1) | st.sampled_from([{"success": 4, "failure": 2}, "ternary"])
configs = st.fixed_dictionaries(
    {"type": st.sampled_from(["binary", "ternary", "threshold", "map"])},
    optional={
        "neutral": st.none() | st.floats(),
        "success": st.floats(),
        "failure": st.floats(),
        "outcomes": st.dictionaries(st.text(max_size=8), entries, max_size=3),
    },
)


def answer_or_error[T](question: Callable[[], T]) -> T | ValueError:
    try:
        return question()
    except ValueError as error:
        return error


@pytest.mark.parametrize("outcome", ["success", True, 1, 1.0])
def test_binary_success_is_one(outcome: Outcome) -> None:
    assert Binary().reward(outcome) == 1.0


@pytest.mark.parametrize("outcome", ["failure", False, 0, 0.0])
def test_binary_failure_is_zero(outcome: Outcome) -> None:
    assert Binary().reward(outcome) == 0.0


@pytest.mark.parametrize(("outcome", "reward"), [("success", 1.0), (1, 1.0), ("failure", 0.0), (-1, 0.0)])
def test_ternary_takes_names_and_signs(outcome: Outcome, reward: float) -> None:
    assert Ternary().reward(outcome) == reward


@pytest.mark.parametrize("outcome", ["neutral", 0])
def test_a_neutral_outcome_is_ignored_unless_it_is_given_a_reward(outcome: Outcome) -> None:
    assert Ternary().reward(outcome) is None
    assert Ternary(neutral=0.5).reward(outcome) == 0.5


@pytest.mark.parametrize("flag", [True, False])
def test_ternary_refuses_flags_because_false_is_ambiguous(flag: bool) -> None:  # noqa: FBT001
    with pytest.raises(ValueError, match="the known outcomes are"):
        Ternary().reward(flag)


@pytest.mark.parametrize(
    ("rating", "reward"), [(5, 1.0), (4, 1.0), (3.999, None), (3, None), (2.001, None), (2, 0.0), (-7, 0.0)]
)
def test_ratings_from_4_succeed_up_to_2_fail_and_the_rest_is_ignored(rating: float, reward: float | None) -> None:
    assert Threshold(success=4, failure=2).reward(rating) == reward


def test_ignoring_neutral_ratings_estimates_the_success_share_of_the_others() -> None:
    """The posterior mean tends to P(success | not neutral), so an arm with fewer successes can be the better one."""

    def mean(successes: int, failures: int, neutral: int) -> float:
        rewards = [Threshold().reward(rating) for rating in [5] * successes + [1] * failures + [3] * neutral]
        counted = [reward for reward in rewards if reward is not None]
        return sum(counted) / len(counted)

    assert mean(30, 10, 60) == 0.75
    assert mean(50, 30, 20) == 0.625


def test_one_experiment_maps_several_outcome_names() -> None:
    model = OutcomeMap({"click": 1, "dismiss": 0, "skip": None, "half": 0.5, "rating": Threshold(4, 2)})
    outcomes: list[Outcome] = ["click", "dismiss", "skip", "half", {"rating": 5}, {"rating": 3}, {"rating": 1}]
    assert [model.reward(outcome) for outcome in outcomes] == [1.0, 0.0, None, 0.5, 1.0, None, 0.0]


def test_a_name_that_needs_a_value_and_one_that_takes_none_say_so() -> None:
    model = OutcomeMap({"click": 1, "rating": Threshold()})
    with pytest.raises(ValueError, match='"rating" needs a value'):
        model.reward("rating")
    with pytest.raises(ValueError, match='"click" takes no value'):
        model.reward({"click": 1})


def test_a_later_change_of_the_given_mapping_leaves_the_model_alone() -> None:
    outcomes: dict[str, float | RewardModel | None] = {"click": 1}
    model = OutcomeMap(outcomes)
    outcomes["click"] = 0
    assert model.reward("click") == 1.0


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_unknown_outcomes_list_the_known_ones(model: RewardModel) -> None:
    with pytest.raises(ValueError, match="Unknown outcome 'purchase'; the known outcomes are: ") as error:
        model.reward("purchase")
    assert model.known() in str(error.value)


@pytest.mark.parametrize("model", MODELS, ids=repr)
@given(outcome=json_values)
def test_whatever_is_reported_becomes_a_reward_in_0_1_or_nothing_or_a_clear_error(
    model: RewardModel, outcome: Outcome
) -> None:
    answer = answer_or_error(lambda: model.reward(outcome))
    if isinstance(answer, float):
        assert 0.0 <= answer <= 1.0
    else:
        assert answer is None or "outcome" in str(answer)


@pytest.mark.parametrize("rating", [math.nan, math.inf, -math.inf, 10**400, True, "5", None, [5]])
def test_a_threshold_takes_finite_numbers_only(rating: Outcome) -> None:
    with pytest.raises(ValueError, match="Unknown outcome"):
        Threshold().reward(rating)


@given(low=st.floats(-1e6, 1e6), gap=st.floats(1e-3, 1e6), ratings=st.lists(st.floats(-1e7, 1e7), min_size=2))
def test_a_higher_rating_never_earns_less(low: float, gap: float, ratings: list[float]) -> None:
    model = Threshold(success=low + gap, failure=low, neutral=0.5)
    rewards = [model.reward(rating) for rating in sorted(ratings)]
    assert rewards == sorted(reward for reward in rewards if reward is not None)


@pytest.mark.parametrize(("success", "failure"), [(2, 2), (1, 4), (math.nan, 2), (math.inf, 2), (4, -math.inf)])
def test_a_threshold_needs_failure_below_success(success: float, failure: float) -> None:
    with pytest.raises(ValueError, match="failure must be a finite number below success"):
        Threshold(success=success, failure=failure)


@pytest.mark.parametrize("neutral", [-0.1, 1.1, math.nan])
def test_the_reward_of_a_neutral_outcome_lies_in_0_1(neutral: float) -> None:
    with pytest.raises(ValueError, match="neutral must be a number between 0 and 1"):
        Ternary(neutral=neutral)
    with pytest.raises(ValueError, match="neutral must be a number between 0 and 1"):
        Threshold(neutral=neutral)


@pytest.mark.parametrize("outcomes", [{}, {"click": 2}, {"click": -1}, {"click": math.nan}, {"click": True}])
def test_an_outcome_map_needs_rewards_in_0_1(outcomes: Mapping[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^outcomes"):
        OutcomeMap(outcomes)


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ("binary", Binary()),
        ({"type": "binary"}, Binary()),
        ("ternary", Ternary()),
        ({"type": "ternary", "neutral": 0.5}, Ternary(neutral=0.5)),
        ({"type": "threshold", "success": 4, "failure": 2}, Threshold(4, 2)),
        ({"type": "threshold", "success": 4, "failure": 2, "neutral": 0}, Threshold(4, 2, neutral=0)),
        (ISSUE_MAP, OutcomeMap({"click": 1, "dismiss": 0, "rating": Threshold(4, 2)})),
        (
            {"type": "map", "outcomes": {"skip": None, "thumb": {"type": "ternary"}, "bought": "binary"}},
            OutcomeMap({"skip": None, "thumb": Ternary(), "bought": Binary()}),
        ),
    ],
)
def test_plain_data_makes_a_model(config: object, model: RewardModel) -> None:
    assert make_reward_model(config) == model


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, r"^rewards must be an object"),
        ([], r"^rewards must be an object"),
        ({}, r"^rewards\.type must be one of .*, but it is None"),
        ("clicks", r"^rewards\.type must be one of \"binary\", .*, but it is 'clicks'"),
        ({"type": "binary", "neutral": 0}, r"^rewards\.neutral is not a setting; rewards takes \"type\""),
        ({"type": "ternary", "neutral": 2}, r"^rewards\.neutral must be a number between 0 and 1"),
        ({"type": "threshold", "success": 4}, r"^rewards\.failure must be a finite number, but it is None"),
        ({"type": "threshold", "success": "4", "failure": 2}, r"^rewards\.success must be a finite number"),
        ({"type": "threshold", "success": 10**400, "failure": 2}, r"^rewards\.success must be a finite number"),
        ({"type": "threshold", "success": 2, "failure": 4}, r"^rewards\.failure \(4\) must be below"),
        ({"type": "map"}, r"^rewards\.outcomes must be an object that names at least one outcome"),
        ({"type": "map", "outcomes": {"click": 2}}, r"^rewards\.outcomes\.click must be a number between 0 and 1"),
        ({"type": "map", "outcomes": {"click": True}}, r"^rewards\.outcomes\.click must be a number"),
        ({"type": "map", "outcomes": {"click": [1]}}, r"^rewards\.outcomes\.click must be a reward"),
        ({"type": "map", "outcomes": {"rating": {"success": 4}}}, r"^rewards\.outcomes\.rating\.failure must be"),
        ({"type": "map", "outcomes": {"x": ISSUE_MAP}}, r"^rewards\.outcomes\.x must be .* other than a map"),
        ({"type": "map", "outcomes": {"x": "map"}}, r"^rewards\.outcomes\.x must be .* other than a map"),
    ],
)
def test_wrong_plain_data_is_an_error_that_names_the_field(config: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_reward_model(config, field="rewards")


@given(config=json_values | configs)
def test_any_json_makes_a_model_or_an_error_that_names_the_field(config: object) -> None:
    answer = answer_or_error(lambda: make_reward_model(config))
    if isinstance(answer, ValueError):
        assert str(answer).startswith("reward_model")
    else:
        assert answer.known()


@given(value=st.floats(0, 1) | st.integers(0, 1))
def test_a_reward_in_0_1_is_taken_as_it_is(value: float) -> None:
    assert check_reward(value) == value


@pytest.mark.parametrize("value", [-1e-9, 1.0000001, math.nan, math.inf, 10**400, True, "1", None])
def test_a_reward_outside_0_1_is_an_error_that_names_the_field(value: object) -> None:
    with pytest.raises(ValueError, match=r"^items\[3\]\.reward must be a number between 0 and 1"):
        check_reward(value, "items[3].reward")
