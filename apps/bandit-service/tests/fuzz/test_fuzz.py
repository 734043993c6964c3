"""Whatever is sent to the fast endpoints: no failure of the service, no crash, and no reward applied by half."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .bodies import bodies

if TYPE_CHECKING:
    from conftest import Api, LiveExperiment

PATHS = ["/select", "/select/batch", "/activate", "/reward", "/reward/batch"]
MICRO = 1_000_000
FUZZER = Path(__file__).with_name("coverage_guided.py")


class Target:
    """An experiment, and what its beliefs must be by what rewards and activations were answered."""

    def __init__(self, live: LiveExperiment, deferred: str) -> None:
        self.live = live
        self.told = {"a": Counter[str](), "b": Counter[str]()}
        self.valid: dict[str, Any] = {"experiment_id": live.id, "arm": "a", "reward": 0.25}
        self.deferred = deferred
        # The deferred decision's reward, until the decision is activated: only then it counts.
        self.activated = False
        self.waiting: list[tuple[str, int]] = []

    def count(self, answer: httpx.Response) -> None:
        """Add what an answer says was applied."""
        body = answer.json()
        for item in body.get("items", [{"status": answer.status_code, "result": body}]):
            if item["status"] == 200 and item["result"].get("status") == "applied":
                result = item["result"]
                counted = (result["arm"], round(result["reward"] * MICRO))
                if result["decision_id"] == self.deferred and not self.activated:
                    self.waiting.append(counted)
                else:
                    self.add(*counted)

    def activate(self) -> None:
        self.activated = True
        while self.waiting:
            self.add(*self.waiting.pop())

    def add(self, arm: str, micro: int) -> None:
        self.told[arm] += Counter(alpha=micro, beta=MICRO - micro)

    async def assert_beliefs_are_as_told(self) -> None:
        """Give the outcome of a deferred decision the second that it may take."""

        async def are_as_told() -> bool:
            return all([await self.live.added(arm) == (told["alpha"], told["beta"]) for arm, told in self.told.items()])

        with suppress(AssertionError):
            await self.live.api.until(are_as_told, 3.0)
        for arm, told in self.told.items():
            assert await self.live.added(arm) == (told["alpha"], told["beta"])


@pytest.fixture(scope="module")
async def target(api: Api) -> Target:
    """One experiment for all that follows: mistakes add up."""
    live = await api.create(reward_model={"type": "binary"})
    deferred = await live.select(defer_activation=True)
    return Target(live, deferred["decision_id"])


async def send(target: Target, path: str, body: bytes) -> httpx.Response:
    answer = await target.live.api.http.post(path, content=body)
    assert answer.status_code < 500, (path, body, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    for item in answer.json().get("items", ()):
        assert item["status"] < 500, (path, body, item)
    if path.startswith("/reward"):
        target.count(answer)
    elif path == "/activate" and answer.status_code == 200 and answer.json()["decision_id"] == target.deferred:
        target.activate()
    return answer


async def attack(data: st.DataObject, target: Target) -> None:
    """Send one hostile body to each endpoint."""
    valid = data.draw(
        st.sampled_from(
            [
                target.valid,
                target.valid | {"reward_id": "r-1"},
                {"experiment_id": target.live.id, "arm": "b", "outcome": "success"},
                {"experiment_id": target.live.id, "unit_id": "visitor", "decision_id": "own"},
                {"experiment_id": target.live.id},
                {"experiment_id": target.live.id, "request_id": "again"},
                {"decision_id": target.deferred, "reward": 1},
                {"decision_id": target.deferred},
            ]
        )
    )
    body = data.draw(bodies(valid))
    for path in PATHS:
        await send(target, path, body)
    await target.assert_beliefs_are_as_told()


COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=60, derandomize=True, **COMMON)  # type: ignore[arg-type]  # hypothesis's own keywords
@given(data=st.data())
async def test_whatever_is_sent_nothing_fails_and_nothing_is_half_applied(data: st.DataObject, target: Target) -> None:
    await attack(data, target)


@pytest.mark.verify
@settings(max_examples=5_000, **COMMON)  # type: ignore[arg-type]  # hypothesis's own keywords
@given(data=st.data())
async def test_whatever_is_sent_nothing_fails_and_nothing_is_half_applied_at_length(
    data: st.DataObject, target: Target
) -> None:
    await attack(data, target)


async def test_right_and_wrong_rewards_in_one_batch_are_each_answered_for_itself(target: Target) -> None:
    good, bad = target.valid, target.valid | {"reward": 2}
    answer = await send(target, "/reward/batch", json.dumps({"items": [good, bad, good, 7, good]}).encode())
    assert [item["status"] for item in answer.json()["items"]] == [200, 422, 200, 422, 200]
    await target.assert_beliefs_are_as_told()


@pytest.mark.parametrize("runs", [5_000, pytest.param(5_000_000, marks=pytest.mark.verify)])
def test_decoders_refuse_whatever_a_coverage_guided_fuzzer_finds(runs: int, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_text(json.dumps(seed))
    command: list[str | Path] = [
        sys.executable,
        FUZZER,
        f"-runs={runs}",
        f"-artifact_prefix={tmp_path}/",
        "-max_len=512",
        corpus,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert f"Done {runs} runs" in done.stderr


SEEDS = [
    {"experiment_id": "homepage", "unit_id": "visitor-17", "defer_activation": True},
    {"decision_id": "d1.AAAAAQAAAAc_0zMzMzMzMwAAAZqV1Y7gq0m3zXl6p2hob21lcGFnZQ", "reward": 1},
    {"experiment_id": "homepage", "arm": "a", "outcome": {"rating": 5}},
    {"items": [{"experiment_id": "homepage"}, 7]},
]
