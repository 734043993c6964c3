"""The checker: what is in order, and each kind of wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from .checker import Found, Health, check
from .run import kinds
from .schedule import Activate, Direct, Reward, Select
from .told import Result, Shown, Told

SECOND = 1_000_000
UNIT = b"unit"


def event(kind: str, decision: str = "d", **fields: Any) -> dict[str, Any]:
    row = {
        "experiment_id": "plain",
        "decision_id": decision,
        "position": 0,
        "kind": kind,
        "decision_time": SECOND,
        "arm_index": 0,
        "stratum": "bandit",
        "weights_version": 3,
        "vector": None,
        "propensity": 0.5,
        "deferred": False,
        "counted": True,
        "filled": False,
        "reward_micro": 7 if kind in ("reward", "outcome") else None,
        "unit_hash": UNIT if kind == "decision" else None,
    }
    return row | fields


def told(asked: Select | Reward | Direct | Activate, result: Result, at: float = 2.0, micro: int | None = None) -> Told:
    return Told(asked, "a", at, at, result, "plain", Shown("d", ((0, 0.5),), 1), micro)


SELECT = Select(1.0, 0, "d1", "plain", "unit-1")
REWARD = Reward(2.0, 0, "d1", 7)
DIRECT = Direct(2.0, 0, "r1", "plain", 0, 7)
SUMS = {
    "experiment_id": "plain",
    "arm_index": 0,
    "stratum": "bandit",
    "weights_version": 3,
    "decisions": 1,
    "rewards": 1,
    "reward_micro": 7,
    "square_micro": 0,
}
FOLDED = {
    "arm_totals": [SUMS | {"weights_version": -1}],
    "allocations": [{"experiment_id": "plain", "weights_version": 3, "weights": '{"arm-0": 1.0}'}],
}


def found(**changes: Any) -> Found:
    """Return the end of a schedule with one decision and its reward, in which nothing is wrong."""
    tables: Mapping[str, Any] = {
        "bandit_events": [event("decision"), event("reward")],
        "arm_totals": [SUMS],
        "exposures": [{"unit_hash": UNIT}],
        "unsettled": [],
        "open_buckets": [],
        "allocations": [],
        "weight_periods": [],
        "producers": [{"name": "a"}],
        "weights": [{"experiment_id": "plain", "version": 3}],
    }
    prefix = "experiment:{plain}:"
    mirror = {
        f"{prefix}arm:0:alpha": b"1000007",
        f"{prefix}arm:0:beta": b"1999993",
        f"{prefix}weights": b'{"version": 3}',
        f"{prefix}definition": b"{}",
    }
    whole = Found(
        told=[told(SELECT, "recorded"), told(REWARD, "applied", micro=7)],
        experiments=["plain"],
        arms=1,
        window=10.0,
        tolerance=0.5,
        epoch=0.0,
        units={"unit-1": UNIT},
        erased=frozenset(),
        erasing=frozenset(),
        tables=tables,
        mirror=mirror,
        keeps_request_ids=True,
        streams=["a"],
        health=[Health("a", (), 0)],
    )
    changes = {
        name: {**getattr(whole, name), **value} if name in ("tables", "mirror") else value
        for name, value in changes.items()
    }
    return replace(whole, **changes)


def events(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"bandit_events": list(rows)}


def test_nothing_is_wrong_where_everything_is_as_told() -> None:
    assert check(found()) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"tables": FOLDED}, "PERIODS"),
        ({"tables": events(event("reward"))}, "LOST"),
        ({"tables": events(event("decision"))}, "LOST"),
        ({"tables": events(event("decision"), event("decision", decision_time=2 * SECOND), event("reward"))}, "TWICE"),
        ({"tables": events(event("decision", arm_index=1), event("reward"))}, "DIFFERS"),
        ({"tables": events(event("decision", filled=True), event("reward"))}, "RESTORED"),
        ({"tables": events(event("decision", unit_hash=None), event("reward"))}, "UNIT"),
        ({"tables": events(event("decision"), event("reward", reward_micro=8))}, "ANSWER"),
        ({"tables": events(event("decision"), event("reward", filled=True))}, "OVERTAKEN"),
        ({"tables": events(event("decision"), event("reward"), event("outcome"))}, "OUTCOME TOO MUCH"),
        ({"tables": {"arm_totals": [SUMS | {"rewards": 2}]}}, "TOTALS"),
        ({"tables": {"arm_totals": []}}, "TOTALS"),
        ({"tables": {"unsettled": [{}]}}, "LEFT"),
        ({"tables": {"producers": [{"name": "a"}, {"name": "gone"}]}}, "PROCESSES"),
        ({"mirror": {"experiment:{plain}:arm:0:alpha": b"1000000"}}, "MIRROR"),
        ({"mirror": {"experiment:{plain}:weights": b'{"version": 2}'}}, "MIRROR"),
        ({"streams": ["a", "gone"]}, "STREAMS"),
        ({"health": [Health("a", ("redis",), 0)]}, "NOT IN ORDER"),
        ({"health": [Health("a", (), 3)]}, "NOT WRITTEN"),
        ({"erased": frozenset({"unit-1"})}, "ERASED"),
        ({"told": [told(SELECT, "recorded"), told(REWARD, "late", 5.0)]}, "TOO EARLY"),
        ({"told": [told(SELECT, "recorded"), told(REWARD, "applied", 12.0, 7)]}, "TOO LATE"),
        ({"told": [told(SELECT, "recorded"), told(REWARD, "duplicate", 3.0, 9)]}, "ANSWER"),
        ({"notes": ["ERROR something"]}, "ERROR"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], kind: str) -> None:
    assert kind in kinds(check(found(**changes)))


def test_an_own_id_that_was_given_twice_is_found() -> None:
    own = replace(SELECT, own_id="mine")
    other = replace(told(own, "recorded"), shown=Shown("d", ((1, 0.5),), 1))
    assert "OWN ID" in kinds(check(found(told=[told(own, "recorded"), other])))


def test_a_reward_for_an_arm_counts_once() -> None:
    rows = [event("reward", "direct/r1", stratum="direct")]
    sums = [SUMS | {"decisions": 0}]
    answers = [told(DIRECT, "applied", micro=7), told(replace(DIRECT, micro=9), "duplicate", micro=7)]
    assert check(found(tables={"bandit_events": rows, "arm_totals": sums}, told=answers)) == []
    assert kinds(check(found(tables={"bandit_events": [], "arm_totals": []}, told=answers))) >= {"LOST"}
    twice = [*rows, event("reward", "direct/r1", decision_time=2 * SECOND)]
    assert "TWICE" in kinds(check(found(tables=events(*twice), told=answers)))


def test_a_reward_that_counts_before_its_decision_was_shown_is_found() -> None:
    rows = [event("decision", deferred=True, counted=False), event("reward", deferred=True), event("outcome")]
    assert "COUNTED BEFORE ACTIVATION" in kinds(check(found(tables=events(*rows))))


def test_what_nobody_was_promised_is_not_missed() -> None:
    answers = [told(SELECT, "unrecorded"), told(REWARD, "unavailable"), told(REWARD, "silent")]
    empty: dict[str, Any] = {"bandit_events": [], "arm_totals": []}
    prior = {f"experiment:{{plain}}:arm:0:{name}": b"1000000" for name in ("alpha", "beta")}
    assert check(found(told=answers, tables=empty, mirror=prior)) == []


def test_an_erased_unit_may_be_missing_and_nowhere_else() -> None:
    rows = [event("decision", unit_hash=None), event("reward")]
    gone = {"bandit_events": rows, "exposures": []}
    assert check(found(tables=gone, erased=frozenset({"unit-1"}), erasing=frozenset({"unit-1"}))) == []
