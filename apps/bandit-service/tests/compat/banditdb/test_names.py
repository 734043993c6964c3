"""Campaigns and experiments have names that lead to each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_core.rules.names import EXPERIMENT_ID
from bandit_core.rules.problems import Invalid, NotFound
from bandit_service.compat.banditdb.names import (
    FIRST,
    LONGEST_NAME,
    campaign_of,
    check_new,
    experiment_name,
    first_of,
    generation,
)
from bandit_service.domain.api_key import Principal


def caller(namespace: str) -> Principal:
    return Principal("a test", "admin", namespace)


def named(experiment_id: str, metadata: dict[str, object]) -> Experiment:
    arm = ArmDefinition(0, "a")
    return Experiment(experiment_id, "default", "running", 1, (arm,), "a", 0.0, metadata=metadata)


@pytest.mark.parametrize(
    ("namespace", "campaign", "experiment"),
    [
        ("shop", "sleep", "shop.sleep"),
        ("default", "sleep", "sleep"),
        ("*", "sleep", "sleep"),
        ("*", "shop.sleep", "shop.sleep"),
    ],
)
@pytest.mark.parametrize("number", [1, 2, 17])
def test_a_name_leads_to_an_experiment_and_back(namespace: str, campaign: str, experiment: str, number: int) -> None:
    principal = caller(namespace)
    assert experiment_name(campaign, principal) == experiment
    made = named(generation(experiment, number), {} if number == 1 else {FIRST: experiment})
    assert first_of(made) == experiment
    assert campaign_of(made, principal) == campaign


@pytest.mark.parametrize("metadata", [{}, {FIRST: "other"}, {FIRST: 7}])
def test_an_experiment_that_is_called_like_a_later_one_is_itself(metadata: dict[str, object]) -> None:
    assert campaign_of(named("camp--2", metadata), caller("*")) == "camp--2"


ids = st.from_regex(EXPERIMENT_ID.pattern.replace("$", r"\Z"), fullmatch=True) | st.sampled_from(
    ["camp", "camp--2", "camp--2--2", "camp--3", "shop.camp", "shop.camp--2"]
)


@given(st.lists(ids, min_size=1, unique=True), st.sampled_from(["*", "shop"]))
def test_no_two_experiments_are_one_campaign(names: list[str], namespace: str) -> None:
    seen = [each for each in names if namespace == "*" or each.startswith("shop.")]
    campaigns = [campaign_of(named(each, {}), caller(namespace)) for each in seen]
    assert len(set(campaigns)) == len(seen)
    assert [experiment_name(each, caller(namespace)) for each in campaigns] == seen


@pytest.mark.parametrize("name", ["", "two words", "../health", "x" * 129, "line\n"])
def test_what_cannot_be_a_name_is_nothing_and_cannot_become_one(name: str) -> None:
    with pytest.raises(NotFound):
        experiment_name(name, caller("*"))
    with pytest.raises(Invalid):
        check_new(name)


def test_a_new_name_leaves_room_for_later_experiments() -> None:
    with pytest.raises(Invalid):
        check_new("x" * (LONGEST_NAME + 1))
