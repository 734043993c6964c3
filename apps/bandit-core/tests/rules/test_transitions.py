"""How experiments move from state to state, and what is impossible."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bandit_core.rules import consistency as rules
from bandit_core.rules import transitions
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.experiment_requests import Absence, ExperimentChange, NewArm, NewExperiment, read
from bandit_core.rules.fields import MOST_ARMS
from bandit_core.rules.problems import Conflict, Invalid, NotFound, Problem
from bandit_core.stopping import Condition, Verdict

CONVINCED = Condition("prob_best", value=0.97, threshold=0.95, holds=True, progress=1.0, arm="b")
WINNER_B = Verdict("winner", stop=True, arm="b", conditions=(CONVINCED,), progress=1.0)
UNDECIDED = Verdict("undecided", stop=False, arm=None, conditions=(), progress=0.3)


def experiment(**settings: Any) -> Experiment:
    body = {"experiment_id": "homepage", "arms": ["a", "b", "c"], **settings}
    return transitions.created(read(NewExperiment, body), now=1_000.0, salt="00")


def change(before: Experiment, **settings: Any) -> Experiment:
    return transitions.changed(before, read(ExperimentChange, dict(reason="why", **settings)))


def retire(before: Experiment, arm: str, **replacements: Any) -> Experiment:
    return transitions.without_arm(before, arm, read(Absence, dict(reason="why", **replacements)))


def pause_arm(before: Experiment, arm: str, **replacements: Any) -> Experiment:
    return transitions.without_arm(before, arm, read(Absence, dict(reason="why", **replacements)), "paused")


def add(before: Experiment, arm: str, **settings: Any) -> Experiment:
    return transitions.with_arm(before, read(NewArm, dict(id=arm, reason="why", **settings)))


def conclude(before: Experiment, winner: str | None, verdict: Verdict | None = None) -> Experiment:
    return transitions.concluded(before, winner=winner, verdict=verdict, now=2_000.0, who="ada", why="why")


def status(experiment: Experiment, arm: str) -> str:
    return experiment.arm(arm).status


def test_a_new_experiment_runs_with_its_first_arm_as_default() -> None:
    new = experiment()
    assert (new.status, new.revision, new.namespace, new.default_arm) == ("running", 1, "default", "a")
    assert [arm.index for arm in new.arms] == [0, 1, 2]


def test_the_namespace_is_what_stands_before_the_first_dot() -> None:
    assert experiment(experiment_id="shop.home.page").namespace == "shop"


def test_priors_are_rounded_once_to_millionths() -> None:
    [arm, _] = experiment(arms=[{"id": "a", "prior": {"alpha": 0.1234567, "beta": 1e6}}, "b"]).arms
    assert (arm.prior_alpha_micro, arm.prior_beta_micro) == (123_457, 10**12)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"default_arm": "z"}, "default_arm"),
        ({"control_arm": "z"}, "control_arm"),
        ({"holdout": 0.1}, "control_arm"),
        ({"policy": {"name": "fixed", "params": {"weights": {"z": 1}}}}, "policy.params"),
        ({"guardrails": {"min_weight": 0.4}}, "guardrails.min_weight"),
    ],
)
def test_fields_that_do_not_fit_together_are_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        experiment(**settings)
    assert [error.field for error in caught.value.errors] == [field]
    with pytest.raises(Invalid) as caught:
        change(experiment(), **settings)
    assert [error.field for error in caught.value.errors] == [field]


def test_gaussian_rewards_take_200_arms() -> None:
    names = [f"a{number}" for number in range(201)]
    most = experiment(arms=names[:200], rewards={"distribution": "gaussian"})
    message = "arms: with gaussian rewards at most 200 arms may be active"
    with pytest.raises(Invalid, match=message):
        experiment(arms=names, rewards={"distribution": "gaussian"})
    with pytest.raises(Conflict, match=message):
        add(most, "one-more")
    assert len(add(retire(most, "a7"), "one-more").active_arms) == 200


def test_every_field_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        experiment(default_arm="z", holdout=0.1)
    assert {error.field for error in caught.value.errors} == {"default_arm", "control_arm"}


def test_a_change_touches_only_what_it_names() -> None:
    before = experiment(description="old", stopping={"prob_best": 0.9}, update_every=5)
    after = change(before, description="new", stopping=None)
    assert after == replace(before, description="new", stopping=None)


def test_null_clears_and_leaving_out_keeps() -> None:
    before = experiment(control_arm="b", update_every=5)
    assert change(before, control_arm=None).control_arm is None
    assert change(before, description="new").control_arm == "b"
    assert change(before, update_every=None).update_every is None


def test_the_holdout_keeps_its_control_arm() -> None:
    with pytest.raises(Invalid, match="holdout"):
        change(experiment(control_arm="b", holdout=0.1), control_arm=None)


def test_an_added_arm_gets_the_next_index() -> None:
    after = add(retire(experiment(), "c"), "d", prior={"alpha": 2})
    assert (after.arm("d").index, after.arm("d").prior_alpha_micro) == (3, 2_000_000)
    assert after.arms[:3] == retire(experiment(), "c").arms


@pytest.mark.parametrize("taken", ["a", "c"])
def test_an_arm_s_id_is_never_used_again(taken: str) -> None:
    with pytest.raises(Conflict, match="already"):
        add(retire(experiment(), "c"), taken)


def test_an_arm_that_the_guardrails_have_no_room_for_is_refused() -> None:
    with pytest.raises(Conflict, match="min_weight"):
        add(experiment(guardrails={"min_weight": 0.3}), "d")


def test_arms_are_bounded_retired_ones_included() -> None:
    full = experiment(arms=[f"a{number}" for number in range(MOST_ARMS)])
    with pytest.raises(Conflict, match="1000"):
        add(retire(full, "a1"), "one-more")


def test_a_retired_arm_stays_but_is_served_no_more() -> None:
    after = retire(experiment(), "c")
    assert status(after, "c") == "retired"
    assert [arm.id for arm in after.active_arms] == ["a", "b"]


def test_retiring_twice_is_retiring_once() -> None:
    after = retire(experiment(), "c")
    assert retire(after, "c") == after


@pytest.mark.parametrize("leave", [pause_arm, retire])
def test_an_arm_comes_back_as_it_was_and_holds_nobody_up(leave: Callable[[Experiment, str], Experiment]) -> None:
    before = experiment(arms=["a", "b", {"id": "c", "prior": {"alpha": 2}}])
    after = transitions.with_arm_back(leave(before, "c"), "c")
    assert after.arm("c") == replace(before.arm("c"), newcomer=True)
    assert transitions.with_arm_back(before, "c") == before


def test_an_arm_comes_back_only_where_there_is_room_for_it() -> None:
    before = change(pause_arm(experiment(guardrails={"min_weight": 0.3}), "c"), guardrails={"min_weight": 0.4})
    with pytest.raises(Conflict, match="min_weight"):
        transitions.with_arm_back(before, "c")


@pytest.mark.parametrize("step", [retire, pause_arm, transitions.with_arm_back])
def test_an_unknown_arm_can_neither_leave_nor_come_back(step: Callable[[Experiment, str], Experiment]) -> None:
    with pytest.raises(NotFound):
        step(experiment(), "z")


@pytest.mark.parametrize("role", ["default_arm", "control_arm"])
def test_an_arm_that_is_needed_retires_only_with_a_replacement(role: str) -> None:
    before = experiment(default_arm="a", control_arm="a") if role == "default_arm" else experiment(control_arm="c")
    arm = getattr(before, role)
    with pytest.raises(Conflict, match="replace"):
        retire(before, arm)
    after = retire(before, arm, default_arm="b", control_arm="b")
    assert getattr(after, role) == "b"


@pytest.mark.parametrize("successor", ["a", "z"])
def test_a_replacement_must_be_an_active_arm(successor: str) -> None:
    with pytest.raises(Invalid) as caught:
        retire(experiment(), "a", default_arm=successor)
    assert [error.field for error in caught.value.errors] == ["default_arm"]


def test_the_last_active_arm_cannot_leave() -> None:
    alone = retire(pause_arm(experiment(), "c"), "b")
    for leave in (retire, pause_arm):
        with pytest.raises(Conflict, match="last active arm"):
            leave(alone, "a", default_arm="a")
    assert status(retire(alone, "c"), "c") == "retired"


def test_pausing_and_resuming_can_be_repeated() -> None:
    running = experiment()
    paused = transitions.paused(running)
    assert paused.status == "paused"
    assert transitions.paused(paused) == paused
    assert transitions.resumed(paused) == running == transitions.resumed(running)


def test_a_conclusion_remembers_who_why_and_the_evidence() -> None:
    after = conclude(experiment(), "b", WINNER_B)
    assert (after.status, after.winner) == ("concluded", "b")
    assert after.conclusion is not None
    assert (after.conclusion.outcome, after.conclusion.prob_best) == ("winner", 0.97)
    assert (after.conclusion.who, after.conclusion.why, after.conclusion.at) == ("ada", "why", 2_000.0)


def test_somebody_s_own_choice_is_not_called_decided() -> None:
    """The evidence speaks for b; calling a the winner by it would be false."""
    after = conclude(experiment(), "a", WINNER_B)
    assert after.conclusion is not None
    assert (after.conclusion.outcome, after.conclusion.prob_best) == ("undecided", None)


@pytest.mark.parametrize("verdict", [None, UNDECIDED])
def test_without_a_winner_the_default_arm_is_served(verdict: Verdict | None) -> None:
    after = conclude(experiment(), None, verdict)
    assert (after.status, after.winner) == ("concluded", None)


def test_a_better_policy_goes_on_unless_somebody_chooses_an_arm() -> None:
    better = Verdict("better_policy", stop=True, arm=None, conditions=(), progress=1.0)
    assert conclude(experiment(), None, better).goes_on
    assert not conclude(experiment(), "b", better).goes_on
    assert not conclude(experiment(), None, UNDECIDED).goes_on


def test_a_winner_must_be_an_active_arm() -> None:
    with pytest.raises(Invalid) as caught:
        conclude(experiment(), "z")
    assert caught.value.errors[0].field == "winner"
    with pytest.raises(Conflict, match="retired"):
        conclude(retire(experiment(), "c"), "c")
    with pytest.raises(Conflict, match="paused"):
        conclude(pause_arm(experiment(), "c"), "c")


CHANGES: dict[str, Callable[[Experiment], Experiment]] = {
    "change": lambda each: change(each, description="new"),
    "add": lambda each: add(each, "d"),
    "retire": lambda each: retire(each, "c"),
    "pause_arm": lambda each: pause_arm(each, "c"),
    "resume_arm": lambda each: transitions.with_arm_back(each, "c"),
    "pause": transitions.paused,
    "resume": transitions.resumed,
    "conclude": lambda each: conclude(each, "b"),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("end", ["concluded", "archived"])
def test_what_is_over_cannot_be_changed(end: str, name: str) -> None:
    over = conclude(experiment(), "b") if end == "concluded" else transitions.archived(experiment())
    with pytest.raises(Conflict, match=end):
        CHANGES[name](over)


def test_everything_can_be_archived_once() -> None:
    for each in (experiment(), transitions.paused(experiment()), conclude(experiment(), "b")):
        archived = transitions.archived(each)
        assert archived.status == "archived"
        assert archived.winner == each.winner
        assert transitions.archived(archived) == archived


def test_a_description_of_a_change_holds_what_differs_and_no_salt() -> None:
    before = experiment(description="old")
    described = transitions.described("change", before, replace(change(before, description="new"), revision=2))
    assert described == {"action": "change", "before": {"description": "old"}, "after": {"description": "new"}}
    assert "salt" not in str(transitions.described("x", before, replace(before, salt="ff", unit_salt="ee")))


ARMS = st.sampled_from(["a", "b", "c", "d", "e"])
STEPS = st.one_of(
    st.builds(lambda arm: lambda each: add(each, arm), ARMS),
    st.builds(lambda arm, new: lambda each: retire(each, arm, default_arm=new, control_arm=new), ARMS, ARMS),
    st.builds(lambda arm: lambda each: retire(each, arm), ARMS),
    st.builds(lambda arm: lambda each: pause_arm(each, arm), ARMS),
    st.builds(lambda arm: lambda each: transitions.with_arm_back(each, arm), ARMS),
    st.builds(lambda arm: lambda each: change(each, default_arm=arm), ARMS),
    st.builds(lambda arm: lambda each: change(each, control_arm=arm, holdout=0.1), st.none() | ARMS),
    st.builds(lambda floor: lambda each: change(each, guardrails={"min_weight": floor}), st.floats(0, 1)),
    st.sampled_from([transitions.paused, transitions.resumed]),
)


@given(st.lists(STEPS, max_size=12))
def test_whatever_is_done_an_experiment_stays_whole(steps: list[Callable[[Experiment], Experiment]]) -> None:
    """Rules hold after every accepted step; arms keep their index, id and prior, and are never removed."""
    current = experiment()
    for step in steps:
        try:
            after = step(current)
        except Problem:
            continue
        rules.check(after)
        assert [arm.index for arm in after.arms] == list(range(len(after.arms)))
        for old, new in zip(current.arms, after.arms, strict=False):
            assert replace(new, status=old.status, newcomer=old.newcomer) == old
        current = after
