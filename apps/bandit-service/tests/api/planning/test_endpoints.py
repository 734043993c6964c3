"""POST /plan: what to expect of an experiment, and what cannot be planned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from bandit_core.rules.planning import PlanRequest, plan_report

if TYPE_CHECKING:
    from conftest import Api

WANTED = {"arms": 2, "rate": 0.1, "lift": 0.5, "traffic": 1_000, "days": 5, "runs": 20, "seed": 7}


async def test_a_plan_is_the_simulation_of_its_seed(api: Api) -> None:
    found = await api.post("/plan", WANTED)
    expected = plan_report(msgspec.convert(WANTED, PlanRequest))
    assert found == msgspec.to_builtins(expected)
    assert found["decisions"] == 5_000
    assert "If one arm is 50% better than the others" in found["summary"]


async def test_requests_are_answered_while_a_plan_is_made(api: Api) -> None:
    live = await api.create("a", "b")
    planning = asyncio.create_task(api.http.post("/plan", json=WANTED | {"runs": 1_000}))
    await asyncio.sleep(0.2)
    await live.select()
    second = await api.http.post("/plan", json=WANTED)
    assert (second.status_code, second.headers["retry-after"]) == (429, "2")
    assert (await planning).status_code == 200


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"arms": 1}, "arms"),
        ({"rate": 1.5}, "rate"),
        ({"rate": 0.9}, "lift"),
        ({"stopping": {"prob_better": 0.9}}, "prob_better"),
        ({"guardrails": {"min_weight": 0.7}}, "min_weight"),
        ({"runs": 1_000_000}, "runs"),
        ({"rates": 1}, "rates"),
        ({"policy": "epsilon_greedy"}, "policy"),
    ],
)
async def test_what_cannot_be_planned_is_named(api: Api, changed: dict[str, Any], named: str) -> None:
    answer = await api.http.post("/plan", json=WANTED | changed)
    assert answer.status_code == 422
    assert named in answer.text
