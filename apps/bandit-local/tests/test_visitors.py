"""The transport stands in for the network here; test_job.py sends the same visitors to the real service."""

import asyncio
import json
import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest

from bandit_local.errors import LocalError, local_error
from bandit_local.visitors import Visitors
from bandit_sdk import AsyncClient, Retries

RATES = {"a": 0.5, "b": 0.1}


class Answers:
    """A service that shows arm a, and then arm b, and so on; it stops the visitors after so many rewards."""

    def __init__(self, rewards: int = 200) -> None:
        self.enough = asyncio.Event()
        self.rewards: dict[str, int] = {}
        self.decisions = 0
        self._rewards_wanted = rewards

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if request.url.path == "/select":
            assert body.keys() == {"experiment_id", "request_id"}
            self.decisions += 1
            arm = "ab"[self.decisions % 2]
            return httpx.Response(200, json={"experiment_id": "e", "decision_id": f"d{self.decisions}", "arm": arm})
        assert body["decision_id"] not in self.rewards
        self.rewards[body["decision_id"]] = body["reward"]
        if len(self.rewards) >= self._rewards_wanted:
            self.enough.set()
        return httpx.Response(200, json={"status": "applied"})


async def visit(
    answer: Callable[[httpx.Request], httpx.Response],
    until: asyncio.Event,
    *,
    seed: int = 0,
    rate: float | None = None,
    concurrency: int = 32,
) -> Visitors:
    transport = httpx.MockTransport(answer)

    def open_client() -> AsyncClient:
        return AsyncClient("http://service", transport=transport, retries=Retries(attempts=6, base=0.0))

    visitors = Visitors(open_client, "e", RATES, np.random.default_rng(seed), rate=rate, concurrency=concurrency)
    async with asyncio.timeout(20):
        await visitors.run(until)
    return visitors


async def test_every_decision_is_rewarded_and_every_request_counted() -> None:
    answers = Answers()
    visitors = await visit(answers, answers.enough)
    assert len(answers.rewards) == answers.decisions
    assert visitors.requests == 2 * answers.decisions
    assert visitors.unserved == 0


async def test_the_same_seed_gives_the_same_visitors() -> None:
    runs = [Answers(rewards=300) for _ in range(3)]
    for answers, seed in zip(runs, (7, 7, 8), strict=True):
        await visit(answers, answers.enough, seed=seed, concurrency=1)
    assert runs[0].rewards == runs[1].rewards
    assert runs[0].rewards != runs[2].rewards


async def test_visitors_click_at_the_rate_of_the_arm_they_are_shown() -> None:
    answers = Answers(rewards=4_000)
    await visit(answers, answers.enough)
    for number, rate in ((1, RATES["b"]), (0, RATES["a"])):
        clicks = [reward for decision, reward in answers.rewards.items() if int(decision[1:]) % 2 == number]
        assert np.mean(clicks) == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / len(clicks)))


async def test_a_rate_spaces_arrivals() -> None:
    answers = Answers(rewards=20)
    start = time.monotonic()
    await visit(answers, answers.enough, rate=100.0)
    assert time.monotonic() - start >= 19 / 100


async def test_the_end_does_not_wait_for_visitors_who_have_not_come_yet() -> None:
    answers = Answers()
    start = time.monotonic()
    asyncio.get_running_loop().call_later(0.1, answers.enough.set)
    await visit(answers, answers.enough, rate=0.1)
    assert time.monotonic() - start < 5
    assert answers.decisions == 1


@pytest.mark.parametrize("refusal", [httpx.Response(503, headers={"Retry-After": "0"}), httpx.Response(429), None])
async def test_a_passing_failure_is_tried_again_with_the_same_decision(refusal: httpx.Response | None) -> None:
    answers = Answers(rewards=1)
    refused: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/reward" and not refused:
            refused.append(request.content)
            if refusal is None:
                raise httpx.ReadError("connection lost", request=request)
            return refusal
        if refused:
            assert request.content == refused[0]
        return answers(request)

    visitors = await visit(answer, answers.enough, concurrency=1)
    assert list(answers.rewards) == [json.loads(refused[0])["decision_id"]]
    assert visitors.unserved == 0


async def test_a_visitor_gives_up_at_last() -> None:
    until = asyncio.Event()
    tries: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request.url.path)
        until.set()
        return httpx.Response(503)

    visitors = await visit(answer, until, concurrency=1)
    assert visitors.unserved == 1
    assert tries == ["/select"] * 6


async def test_an_arm_without_a_click_rate_gets_no_reward() -> None:
    until = asyncio.Event()
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        until.set()
        return httpx.Response(200, json={"experiment_id": "e", "decision_id": "d", "arm": "added-meanwhile"})

    await visit(answer, until, concurrency=1)
    assert asked == ["/select"]


async def test_a_lasting_refusal_ends_the_run_with_what_the_problem_says() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"status": 404, "title": "Not found", "detail": "no experiment e"})

    with pytest.raises(ExceptionGroup) as failure:
        await visit(answer, asyncio.Event())
    assert isinstance(local_error(failure.value), LocalError)
    assert str(local_error(failure.value)) == "The service did not do what was asked: no experiment e (404)"
