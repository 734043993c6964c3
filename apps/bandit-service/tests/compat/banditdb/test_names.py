"""Campaigns and experiments have names that lead to each other."""

from __future__ import annotations

import pytest

from bandit_core.rules.problems import Invalid, NotFound
from bandit_service.compat.banditdb.names import (
    LONGEST_NAME,
    campaign_of,
    check_new,
    experiment_name,
    generation,
)
from bandit_service.domain.api_key import Principal


def caller(namespace: str) -> Principal:
    return Principal("a test", "admin", namespace)


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
    assert campaign_of(generation(experiment, number), principal) == campaign


@pytest.mark.parametrize("name", ["", "two words", "../health", "x" * (LONGEST_NAME + 1), "line\n"])
def test_what_cannot_be_a_name_is_nothing_and_cannot_become_one(name: str) -> None:
    with pytest.raises(NotFound):
        experiment_name(name, caller("*"))
    with pytest.raises(Invalid):
        check_new(name)


def test_names_of_later_generations_are_taken() -> None:
    with pytest.raises(Invalid, match="the service's own"):
        check_new("sleep--2")
    check_new("sleep-2")
