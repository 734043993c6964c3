"""What a request may say: declared limits are the real ones, unknown fields and loose types are refused."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.rules.experiment import Experiment
from bandit_core.rules.experiment_requests import Because, ExperimentChange, NewArm, NewExperiment, read
from bandit_core.rules.problems import Invalid
from bandit_core.rules.transitions import changed, created

SMALLEST: dict[str, Any] = {"experiment_id": "homepage", "arms": ["a", "b"]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def new(**fields: Any) -> Experiment:
    return created(read(NewExperiment, SMALLEST | fields), now=0.0, salt="")


def because(**fields: Any) -> Because:
    return read(Because, {"reason": "why"} | fields)


def refused(make: Callable[[], object]) -> list[str]:
    """The fields for which a body is refused."""
    with pytest.raises(Invalid) as caught:
        make()
    return [error.field for error in caught.value.errors]


def test_an_id_and_two_arms_are_enough() -> None:
    made = new()
    assert made.priors == {0: (10**6, 10**6), 1: (10**6, 10**6)}
    assert (made.policy.name, made.guardrails.preset, made.stopping) == ("thompson", "neutral", None)


@pytest.mark.parametrize("name", ["a", "homepage", "shop.homepage", "A-1_b.c.d", "9", "x" * 128, "defaults.x"])
def test_ids_of_these_characters_are_taken(name: str) -> None:
    assert new(experiment_id=name).id == name
    assert read(NewArm, {"id": name, "reason": "why"}).id == name


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "a.", "a b", "ä", "a\n", "a\x00", "x" * 129, "{a}", 7])
def test_other_ids_are_refused(name: Any) -> None:
    assert refused(lambda: new(experiment_id=name)) == ["experiment_id"]
    assert refused(lambda: read(NewArm, {"id": name, "reason": "why"})) == ["id"]


@pytest.mark.parametrize("name", ["org/model", "model:8b", "@org/model"])
def test_an_arm_may_be_called_like_a_language_model(name: str) -> None:
    assert read(NewArm, {"id": name, "reason": "why"}).id == name
    assert refused(lambda: new(experiment_id=name)) == ["experiment_id"]


def test_the_default_namespace_is_not_written() -> None:
    """Or one experiment would have two names."""
    with pytest.raises(Invalid, match="write 'homepage'"):
        new(experiment_id="default.homepage")


@pytest.mark.parametrize(
    ("arms", "field"),
    [
        ([], "arms"),
        (["a"], "arms"),
        (["a", "b", "a"], "arms"),
        ([f"a{number}" for number in range(1_001)], "arms"),
        (["a", {"id": "b", "prior": {"alpha": 0}}], "arms[1].prior.alpha"),
        (["a", {"id": "b", "prior": {"beta": 1e7}}], "arms[1].prior.beta"),
        (["a", {"id": "b", "prior": {"alpha": float("nan")}}], "arms[1].prior.alpha"),
        (["a", {"id": "b", "prior": {"alpha": float("inf")}}], "arms[1].prior.alpha"),
        (["a", {"id": "b", "weight": 1}], "arms[1].weight"),
        (["a", 7], "arms[1]"),
        (["a", "b c"], "arms[1].id"),
    ],
)
def test_wrong_arms_are_refused(arms: Any, field: str) -> None:
    assert refused(lambda: new(arms=arms)) == [field]


def test_metadata_is_any_json_object_of_moderate_size() -> None:
    metadata = {"team": "search", "features": ["age"], "context": {"bias": True}, "note": "x" * 1_000}
    assert new(metadata=metadata).metadata == metadata


@pytest.mark.parametrize(
    "metadata",
    [{"note": "x" * 65_536}, {"note": "\x00"}, {"\ud800": 1}, {"much": 10**400}, {"none": float("nan")}, ["a"], None],
)
def test_other_metadata_are_refused(metadata: Any) -> None:
    assert refused(lambda: new(metadata=metadata)) == ["metadata"]


def test_a_thousand_arms_are_taken() -> None:
    assert len(new(arms=[f"a{number}" for number in range(1_000)]).arms) == 1_000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("k", 2),
        ("description", "x" * 2_001),
        ("description", "NUL \x00"),
        ("description", "half a \ud800 pair"),
        ("reward_window", 0),
        ("reward_window", "86400"),
        ("reward_window", float("inf")),
        ("missing_reward", "drop"),
        ("assignment", "random"),
        ("holdout", 1.0),
        ("holdout", -0.1),
        ("holdout", True),
        ("update_every", 0.01),
        ("reward_model", {"type": "stars"}),
        ("reward_model", {"type": "threshold", "success": 1, "failure": 2}),
        ("reward_model", {"type": "map", "outcomes": {"NUL \x00": 1}}),
        ("reward_model", {"type": "map", "outcomes": {"x" * 201: 1}}),
        ("reward_model", {"type": "map", "outcomes": {"click": 10**400}}),
        ("reward_model", "binary"),
        ("guardrails", {"preset": "bold"}),
        ("policy", "tompson"),
        ("stopping", {"prob_best": 1.5}),
    ],
)
def test_wrong_settings_are_refused(field: str, value: Any) -> None:
    [found] = refused(lambda: new(**{field: value}))
    assert found.split(".")[0] == field


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"name": "magic"}, "name"),
        ({"name": "fixed"}, "params"),
        ({"name": "thompson", "params": {"alpha": 1}}, "params"),
        ({"name": "epsilon_greedy", "params": {"epsilon": 2}}, "params"),
        ({"name": "epsilon_greedy", "params": {"epsilon": True}}, "params"),
        ({"name": "epsilon_greedy", "params": {"epsilon": "0.1"}}, "params"),
        ({"name": "epsilon_greedy", "params": {"epsilon": float("nan")}}, "params"),
        ({"name": "epsilon_greedy", "params": {"epsilon": 10**400}}, "params"),
        ({"name": "fixed", "params": {"weights": {"a": -1}}}, "params"),
        ({"name": "fixed", "params": {"weights": {"a": 0}}}, "params"),
        ({"name": "fixed", "params": {"weights": {"a": 10**400}}}, "params"),
        ({"name": "fixed", "params": {"weights": {"a": {"b": {"c": {"d": 1}}}}}}, "params"),
        ({"name": "fixed", "params": {"weights": {str(number): 1 for number in range(1_001)}}}, "params"),
    ],
)
def test_wrong_policies_are_refused(policy: dict[str, Any], field: str) -> None:
    assert refused(lambda: new(policy=policy)) == [f"policy.{field}"]


@given(st.sampled_from(["thompson", "top_two_thompson", "epsilon_greedy", "bayes_ucb", "fixed", "uniform"]), JSON)
def test_whatever_the_parameters_are_a_policy_is_taken_or_refused(name: str, params: Any) -> None:
    """Anything else than a validation error would be a 500."""
    with suppress(Invalid):
        new(policy={"name": name, "params": params})


@given(st.dictionaries(st.sampled_from(["type", "outcomes", "success", "failure", "neutral", "x"]), JSON))
def test_whatever_a_reward_model_is_it_is_taken_or_refused(model: dict[str, Any]) -> None:
    with suppress(Invalid):
        new(reward_model=model)


def test_a_stopping_rule_must_be_able_to_stop() -> None:
    assert refused(lambda: new(stopping={"prob_best": None})) == ["stopping"]
    assert new(stopping={"prob_best": None, "max_duration": 60}).stopping


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """JSON has one kind of number."""
    assert new(guardrails={"min_trials": 3.0}).guardrails.min_trials == 3
    assert because(expected_revision=3.0).expected_revision == 3
    for number in (3.5, float("inf"), "3", True):
        assert refused(partial(new, guardrails={"min_trials": number})) == ["guardrails.min_trials"]
        assert refused(partial(because, expected_revision=number)) == ["expected_revision"]


@pytest.mark.parametrize("reason", ["", "x" * 501, "NUL \x00", None, 7])
def test_a_reason_is_needed_and_bounded(reason: Any) -> None:
    assert refused(lambda: because(reason=reason)) == ["reason"]
    assert refused(lambda: read(Because, {})) == ["reason"]


def test_a_change_has_to_name_something() -> None:
    with pytest.raises(Invalid, match="nothing to change"):
        changed(new(), read(ExperimentChange, {"reason": "why", "expected_revision": 1}))


@pytest.mark.parametrize("field", ["description", "default_arm", "policy", "guardrails", "holdout"])
def test_what_cannot_be_absent_cannot_be_cleared(field: str) -> None:
    assert refused(lambda: read(ExperimentChange, {"reason": "why", field: None})) == [field]


@pytest.mark.parametrize("field", ["control_arm", "stopping", "update_every"])
def test_what_can_be_absent_can_be_cleared(field: str) -> None:
    assert read(ExperimentChange, {"reason": "why", field: None}).settings == {field: None}
