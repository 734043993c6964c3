"""What a file in Git changes of an experiment, and what it keeps others from changing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bandit_core.rules import transitions
from bandit_core.rules.experiment_requests import Absence, ExperimentChange, NewArm, NewExperiment, read
from bandit_core.rules.problems import Conflict, Invalid
from bandit_service.api.experiments import git

if TYPE_CHECKING:
    from conftest import Api

    from bandit_core.rules.experiment import Experiment

FILE: dict[str, Any] = {
    "experiment_id": "homepage",
    "arms": ["a", "b"],
    "policy": {"name": "top_two_thompson"},
    "guardrails": {"preset": "safe"},
    "reward_window": 3_600.0,
}


def file(**settings: Any) -> git.File:
    return git.file_of(read(NewExperiment, FILE | settings), FILE | settings)


def created(**settings: Any) -> Experiment:
    made = file(**settings)
    return replace(transitions.created(made.experiment, now=1_000.0, salt="00"), git_fields=made.named)


@given(
    description=st.text("abc"), holdout=st.sampled_from([0.0, 0.1]), arms=st.sampled_from([["a", "b"], ["a", "b", "c"]])
)
def test_what_is_applied_twice_is_applied_once(description: str, holdout: float, arms: list[str]) -> None:
    wanted = file(description=description, holdout=holdout, control_arm="a", arms=arms)
    once = git.applied(created(), wanted)
    assert (once.description, once.holdout, [arm.id for arm in once.arms]) == (description, holdout, arms)
    assert git.applied(once, wanted) is once


def test_the_file_that_created_an_experiment_changes_nothing() -> None:
    assert git.applied(created(default_arm="b"), file(default_arm="b")) == created(default_arm="b")


@pytest.mark.parametrize("status", ["running", "paused", "concluded", "archived"])
def test_the_status_stays(status: Any) -> None:
    before = replace(created(), status=status)
    assert git.applied(before, file()) is before


def test_a_change_leaves_a_paused_experiment_paused() -> None:
    assert git.applied(replace(created(), status="paused"), file(description="other")).status == "paused"


def test_what_the_file_does_not_name_keeps_its_value_and_is_free_again() -> None:
    before = created(description="said")
    after = git.applied(before, file())
    assert after.description == "said"
    assert "description" in before.git_fields
    assert "description" not in after.git_fields


def test_new_arms_are_added_behind_the_others() -> None:
    after = git.applied(created(), file(arms=["a", "b", {"id": "c", "prior": {"alpha": 2}}]))
    added = after.arm("c")
    assert (added.index, added.prior_alpha_micro, added.newcomer) == (2, 2_000_000, True)


def test_a_retired_arm_stays_retired_whether_the_file_names_it_or_not() -> None:
    before = transitions.without_arm(created(arms=["a", "b", "c"]), "c", read(Absence, {"reason": "why"}))
    assert git.applied(before, file(arms=["a", "b", "c"])).arm("c").status == "retired"
    assert git.applied(before, file(arms=["a", "b"])).arm("c").status == "retired"


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"reward_window": 60.0}, "reward_window"),
        ({"missing_reward": "zero"}, "missing_reward"),
        ({"assignment": "sticky"}, "assignment"),
        ({"arms": ["a", "c"]}, "lacks the active arm 'b'"),
        ({"arms": ["b", "a"]}, "order"),
        ({"arms": ["a", "c", "b"]}, "order"),
        ({"arms": [{"id": "a", "prior": {"alpha": 5}}, "b"]}, "prior of arm 'a'"),
    ],
)
def test_what_events_already_mean_cannot_be_changed(wanted: dict[str, Any], reason: str) -> None:
    with pytest.raises(Conflict, match=reason):
        git.applied(created(), file(**wanted))


def test_a_file_that_changes_an_experiment_that_is_over_is_refused() -> None:
    with pytest.raises(Conflict, match="concluded"):
        git.applied(replace(created(), status="concluded"), file(description="other"))


def test_a_file_must_be_whole() -> None:
    with pytest.raises(Invalid, match="control_arm"):
        git.applied(created(), file(holdout=0.1))


def test_what_is_kept_in_git_is_changed_in_no_other_way() -> None:
    before = created(arms=["a", "b", "c"], default_arm="b")
    for after in (
        transitions.changed(before, read(ExperimentChange, {"reason": "why", "guardrails": {"preset": "explore"}})),
        transitions.with_arm(before, read(NewArm, {"reason": "why", "id": "d"})),
        transitions.without_arm(before, "b", read(Absence, {"reason": "why", "default_arm": "a"})),
    ):
        with pytest.raises(Conflict, match="kept in Git"):
            git.check_untouched(before, after)


def test_the_rest_is_free() -> None:
    before = created(arms=["a", "b", "c"])
    for after in (
        transitions.changed(before, read(ExperimentChange, {"reason": "why", "description": "other"})),
        transitions.changed(before, read(ExperimentChange, {"reason": "why", "guardrails": {"preset": "safe"}})),
        transitions.without_arm(before, "c", read(Absence, {"reason": "why"})),
        transitions.paused(before),
    ):
        git.check_untouched(before, after)


async def test_over_http_a_file_creates_then_changes_then_does_nothing(api: Api) -> None:
    body = {"experiment_id": "kept", "arms": ["a", "b"], "description": "first"}
    answers = [
        await api.http.put("/experiments/kept", json=body | more) for more in ({}, {"description": "second"}, {})
    ]
    again = await api.http.put("/experiments/kept", json=body)
    assert [answer.status_code for answer in (*answers, again)] == [201, 200, 200, 200]
    assert [answer.json()["revision"] for answer in (*answers, again)] == [1, 2, 3, 3]
    assert again.json()["git_fields"] == ["arms", "description"]
    newest = (await api.get("/experiments/kept/changes"))["items"][0]
    assert (newest["who"], newest["why"], newest["change"]["action"]) == ("anonymous", "applied from Git", "apply")
    refused = await api.http.patch("/experiments/kept", json={"reason": "why", "description": "third"})
    assert (refused.status_code, "kept in Git" in refused.json()["detail"]) == (409, True)
    await api.post("/experiments/kept/arms", {"reason": "why", "id": "c"}, 409)
    await api.post("/experiments/kept/pause", {"reason": "why"})
    assert (await api.http.put("/experiments/kept", json=body)).json()["status"] == "paused"


async def test_the_path_and_the_file_name_the_same_experiment(api: Api) -> None:
    answer = await api.http.put("/experiments/one", json={"experiment_id": "two", "arms": ["a", "b"]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "experiment_id")
