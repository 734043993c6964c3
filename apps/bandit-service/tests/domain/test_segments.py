"""Segments: the experiment learns for each combination of declared categories, which lend each other what they know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bandit_core.rules.experiment import ArmDefinition, Experiment, SegmentField
from bandit_core.rules.segments import Segmentation

if TYPE_CHECKING:
    from conftest import Api

BY: list[dict[str, Any]] = [
    {"field": "time_period", "values": ["day", "night"], "default": "day"},
    {"field": "user_type", "values": ["cold_start", "regular"], "default": "regular"},
]


def segmentation() -> Segmentation:
    fields = tuple(SegmentField(each["field"], tuple(each["values"]), each["default"]) for each in BY)
    return Segmentation(Experiment("e", "default", "running", 1, (ArmDefinition(0, "a"),), "a", 0.0, segment_by=fields))


@pytest.mark.parametrize(
    ("context", "name"),
    [
        ({"time_period": "night", "user_type": "cold_start"}, "night/cold_start"),
        ({"time_period": "night"}, "night/regular"),
        ({"time_period": "noon", "user_type": 7.0}, "day/regular"),
        ({"something": "else"}, "day/regular"),
    ],
)
def test_what_is_not_declared_counts_as_the_default(context: dict[str, object], name: str) -> None:
    segments = segmentation()
    assert segments.names[segments.number(context)] == name
    assert len(segments.names) == 4


async def test_a_segment_learns_for_itself_first(api: Api) -> None:
    live = await api.create(segment_by=BY, update_every=0.05)
    night, day = {"time_period": "night"}, {"time_period": "day"}
    for _ in range(60):
        await live.reward(await live.select(context=night, eligible_arms=["a"]), 1.0)
        await live.reward(await live.select(context=night, eligible_arms=["b"]), 0.0)
        await live.reward(await live.select(context=day, eligible_arms=["a"]), 0.0)
        await live.reward(await live.select(context=day, eligible_arms=["b"]), 1.0)

    async def has_learnt() -> bool:
        answers = [await live.select(context=context) for context in (night, day)]
        return [(each["arm"], each["propensity"] > 0.9) for each in answers] == [("a", True), ("b", True)]

    await api.until(has_learnt)
    answer = await live.select(context=night)
    assert (answer["vector"], answer["segment"]) == ("segment", "night/regular")


async def test_the_weights_of_a_segment_over_some_arms_are_renormalised(api: Api) -> None:
    live = await api.create(*"abc", segment_by=BY, update_every=0.05)
    answer = await live.select(context={"user_type": "cold_start"}, exclude_arms=["c"])
    assert (answer["vector"], answer["segment"]) == ("renormalised", "day/cold_start")
    assert answer["propensity"] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("values", ["a/b"]),
        ("values", []),
        ("default", "missing"),
    ],
)
async def test_a_segmentation_that_makes_no_sense_is_refused(api: Api, field: str, value: object) -> None:
    by = [{"field": "x", "values": ["a"], "default": "a", field: value}]
    problem = await api.post("/experiments", {"experiment_id": "x", "arms": ["a", "b"], "segment_by": by}, 422)
    assert problem["errors"][0]["field"].startswith("segment_by")


async def test_more_segments_than_can_be_published_are_refused(api: Api) -> None:
    by = [{"field": f"f{n}", "values": [f"v{i}" for i in range(40)], "default": "v0"} for n in range(2)]
    problem = await api.post("/experiments", {"experiment_id": "x", "arms": ["a", "b"], "segment_by": by}, 422)
    assert "1600 segments" in problem["detail"]
