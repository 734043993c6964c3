"""The application as a whole: its paths, and the framework's own errors as problem details."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Api, StartApi


@pytest.mark.parametrize("path", ["/nowhere", "/select/nothing", "/experiments/a/b/c", "/%00"])
async def test_a_path_that_does_not_exist_is_a_problem(api: Api, path: str) -> None:
    assert (await api.get(path, 404))["detail"] == "there is nothing at this path"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/select", "POST"),
        ("PUT", "/reward/batch", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("PUT", "/experiments", "GET, POST"),
        ("POST", "/experiments/homepage", "DELETE, GET, PATCH, PUT"),
        ("DELETE", "/experiments/homepage/posterior", "GET"),
    ],
)
async def test_a_wrong_method_is_a_problem_that_names_the_right_ones(
    api: Api, method: str, path: str, allowed: str
) -> None:
    response = await api.http.request(method, path)
    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["Allow"] == allowed


async def test_two_replicas_share_experiments_decisions_and_beliefs(start_api: StartApi) -> None:
    async with start_api() as first, start_api() as second:
        live = await first.create()
        there = type(live)(second, live.id)
        decision = await there.select()
        assert (await live.reward(decision, 1))["status"] == "applied"
        assert (await there.reward(decision, 1))["status"] == "duplicate"
        assert await there.added(decision["arm"]) == (1_000_000, 0)


async def test_a_replica_that_stops_hands_its_work_over(start_api: StartApi) -> None:
    async with start_api() as second:
        async with start_api() as first:
            live = await first.create("a", "b")
        there = type(live)(second, live.id)
        await there.patch(policy={"name": "fixed", "params": {"weights": {"a": 1}}}, guardrails={"min_weight": 0.25})

        async def taken_over() -> bool:
            found: dict[str, float] = (await there.read("allocation"))["weights"]
            return found == pytest.approx({"a": 0.75, "b": 0.25})

        await second.until(taken_over)
