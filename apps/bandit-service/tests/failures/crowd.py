"""Clients that decide, reward, repeat themselves and lose answers, and remember what they were told."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

MICRO = 1_000_000
_PATIENCE = 5.0
_IMPATIENCE = 0.004
_BATCH = 10
_PROBE_EVERY = 0.02
_FIRST_MEETING = 30.0
_GONE = 410
_TAKEN = (200, 202)

_QUEUED_AT_ONCE = {"Prefer": "respond-async"}

type Place = tuple[str, int]
"""A decision, and a position of its slate; 0 where there is no slate. Direct rewards have names of their own."""


@dataclass
class Told:
    """What clients were told. A decision counts as acknowledged when it was answered with `recorded: true`.

    `decisions` has the arm of each place, `sent` that and the rewards in millionths that were sent for it, `rewards`
    the answers: a status and, but for a queued one, the reward that counts. `unclaimed` is how often an own id could
    not be claimed for the moment, `unavailable` how often anything else was answered with 503.
    """

    decisions: dict[Place, int] = field(default_factory=dict)
    decided_at: dict[Place, float] = field(default_factory=dict)
    activated: set[str] = field(default_factory=set)
    sent: dict[Place, tuple[int, set[int]]] = field(default_factory=dict)
    rewards: dict[Place, list[tuple[str, int]]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    unrecorded: int = 0
    unavailable: int = 0
    unclaimed: int = 0
    late: int = 0
    slowest_selection: float = 0.0
    recorded_since: float = 0.0
    rewarded_since: float = 0.0

    @property
    def acknowledged(self) -> int:
        return len(self.decisions) + len(self.rewards)

    @property
    def queued(self) -> int:
        return sum(answers[0][0] == "queued" for answers in self.rewards.values())

    def sends(self, place: Place, arm: int, micro: int) -> None:
        self.sent.setdefault(place, (arm, set()))[1].add(micro)

    def hears(self, place: Place, answer: dict[str, Any]) -> None:
        """Note what became of a reward."""
        self.rewards.setdefault(place, []).append((answer["status"], round(answer["reward"] * MICRO)))


class Crowd:
    """So many clients at once on one experiment, spread over the services, and one that only ever selects."""

    def __init__(
        self,
        urls: Sequence[str],
        experiment_id: str,
        *,
        clients: int = 8,
        seed: int = 1,
        rewarding: float = 1.0,
        deferring: float = 0.1,
        may_be_late: bool = False,
        features: int = 0,
        k: int = 1,
    ) -> None:
        """Shares of decisions get a reward or are deferred; what comes too late is wrong unless it may be late.

        With `features` every decision is asked for in a context of so many numbers. With `k` above 1 it is a slate, of
        which every position may get a reward of its own; names of one's own and deferring are not for slates.
        """
        self.told = Told()
        self._rewarding = rewarding
        self._deferring = deferring if k == 1 else 0.0
        self._naming = 0.1 if k == 1 else 0.0
        # A direct reward of a contextual experiment needs a context; that is not for these clients.
        self._reporting = 0.0 if features else 0.05
        self._may_be_late = may_be_late
        self._features = features
        self._k = k
        self._urls = list(urls)
        self._experiment_id = experiment_id
        self._clients = clients
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._stopping = False
        self._given_up = False

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Crowd]:
        """Let the clients work; at the end each finishes what it began: every reward is told to have been taken."""
        async with httpx.AsyncClient(timeout=_PATIENCE, limits=httpx.Limits(max_connections=64)) as http:
            self._http = http
            await self._until_every_service_records()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._probe())
                for number in range(self._clients):
                    tasks.create_task(self._client(number))
                try:
                    yield self
                finally:
                    self._stopping = True

    async def _until_every_service_records(self) -> None:
        """Let every process have met the experiment: what it makes of a failure before that is another matter."""
        async with asyncio.timeout(_FIRST_MEETING):
            for number in range(len(self._urls)):
                while (decision := await self._ask("/select", self._wish(), number)) is None or not decision[
                    "recorded"
                ]:
                    await asyncio.sleep(0.02)
                self._note(decision)

    def give_up(self) -> None:
        """Have no client insist on an answer any longer."""
        self._stopping = self._given_up = True

    async def until(self, acknowledged: int, within: float = 180.0) -> None:
        """Wait until clients were told of so many events altogether."""
        async with asyncio.timeout(within):
            while self.told.acknowledged < acknowledged:
                await asyncio.sleep(0.01)

    async def recovered(self, since: float, within: float = 60.0) -> float:
        """Wait until a decision and a reward asked for after that moment were taken; return how long that took."""
        async with asyncio.timeout(within):
            while min(self.told.recorded_since, self.told.rewarded_since) < since:
                await asyncio.sleep(0.005)
        return time.monotonic() - since

    async def _probe(self) -> None:
        """Select all the time, and see that every selection is answered."""
        for number in itertools.count():
            if self._stopping:
                return
            asked = time.monotonic()
            decision = await self._ask("/select", self._wish(), number, patience=_PATIENCE)
            self.told.slowest_selection = max(self.told.slowest_selection, time.monotonic() - asked)
            if decision is not None:
                self._note(decision)
            await asyncio.sleep(_PROBE_EVERY)

    def _wish(self) -> dict[str, Any]:
        body: dict[str, Any] = {"experiment_id": self._experiment_id}
        if self._features:
            body["context"] = [self._random.random() for _ in range(self._features)]
        if self._k > 1:
            body["k"] = self._k
        return body

    async def _client(self, number: int) -> None:
        while not self._stopping:
            if number % 2:
                await self._decide_and_reward(number)
            else:
                await self._batch(number)

    async def _decide_and_reward(self, number: int) -> None:
        if self._random.random() < self._reporting:
            await self._report(number)
        own = self._random.random() < self._naming
        body = self._wish()
        if own:
            body["decision_id"] = f"own-{next(self._numbers)}"
        if self._random.random() < self._deferring:
            body["defer_activation"] = True
        decision = await self._ask("/select", body, number)
        if decision is None or (own and not decision["recorded"]):
            return
        self._note(decision)
        if own:
            self._compare(decision, await self._ask("/select", body, number + 1))
        # Every third is shown after its reward, or never.
        is_early = "defer_activation" in body and self._random.random() < 0.33
        if "defer_activation" in body and not is_early:
            await self._activate(decision["decision_id"], number)
        for place, arm in _served(decision).items():
            if self._random.random() < self._rewarding:
                await self._reward(place, arm, number)
        if is_early and self._random.random() < 0.7:
            await self._activate(decision["decision_id"], number)

    async def _activate(self, decision_id: str, number: int) -> None:
        if await self._insist("/activate", self._named((decision_id, 0)), number) is not None:
            self.told.activated.add(decision_id)

    async def _report(self, number: int) -> None:
        """Reward an arm without a decision, under a name that makes a repetition harmless."""
        arm, micro, name = self._random.randrange(3), self._value(), f"report-{next(self._numbers)}"
        place = f"direct/{name}", 0
        self.told.sends(place, arm, micro)
        body = {"experiment_id": self._experiment_id, "arm": "abc"[arm], "reward_id": name, "reward": micro / MICRO}
        answer = await self._insist("/reward", body, number)
        if answer is not None:
            self.told.hears(place, answer)

    async def _batch(self, number: int) -> None:
        items = [self._wish() for _ in range(_BATCH)]
        answer = await self._ask("/select/batch", {"items": items}, number)
        decisions = [item["result"] for item in (answer or {"items": []})["items"] if item["status"] == 200]
        for decision in decisions:
            self._note(decision)
        waiting = {
            place: (arm, self._value())
            for decision in decisions
            for place, arm in _served(decision).items()
            if self._random.random() < self._rewarding
        }
        for place, (arm, micro) in waiting.items():
            self.told.sends(place, arm, micro)
        for attempt in itertools.count(number):
            if not waiting or self._given_up:
                return
            rewards = [self._named(place) | {"reward": micro / MICRO} for place, (_, micro) in waiting.items()]
            answer = await self._ask("/reward/batch", {"items": rewards}, attempt)
            answers = [{"status": 503}] * len(rewards) if answer is None else answer["items"]
            for place, item in zip(list(waiting), answers, strict=True):
                if item["status"] in _TAKEN:
                    self.told.hears(place, item["result"])
                    del waiting[place]
                elif item["status"] != 503:
                    self._refused(item["status"], f"the reward of {place} was answered with {item}")
                    del waiting[place]
            if waiting:
                await asyncio.sleep(0.05)

    async def _reward(self, place: Place, arm: int, number: int) -> None:
        """Reward a decision; sometimes once more, with another value, which counts only if the first is queued."""
        for attempt, micro in enumerate((self._value(), self._value())):
            self.told.sends(place, arm, micro)
            body = self._named(place) | {"reward": micro / MICRO}
            answer = await self._insist("/reward", body, number + attempt)
            if answer is None:
                return
            self.told.hears(place, answer)
            if self._random.random() > 0.2:
                return

    async def _insist(self, path: str, body: dict[str, Any], number: int) -> dict[str, Any] | None:
        """Ask until there is an answer; None for one that will never be."""
        for attempt in itertools.count(number):
            try:
                answer = await self._ask(path, body, attempt)
            except httpx.HTTPStatusError as error:
                self._refused(error.response.status_code, f"{path} {body} was answered with {error.response.text}")
                return None
            if answer is not None or self._given_up:
                return answer
            await asyncio.sleep(0.05)
        raise AssertionError

    async def _ask(
        self, path: str, body: dict[str, Any], number: int, patience: float | None = None
    ) -> dict[str, Any] | None:
        """Return the answer; None if there was none (some requests do not wait for it), or not now."""
        if patience is None:
            patience = _IMPATIENCE if self._random.random() < 0.02 else _PATIENCE
        asked = time.monotonic()
        headers = _QUEUED_AT_ONCE if path == "/reward" and self._random.random() < 0.05 else {}
        url = self._urls[number % len(self._urls)] + path
        try:
            answer = await self._http.post(url, json=body, headers=headers, timeout=patience)
        except httpx.TransportError:
            await asyncio.sleep(0.02)
            return None
        if answer.status_code in (429, 503):
            if path == "/select" and "decision_id" in body:
                self.told.unclaimed += 1
            else:
                self.told.unavailable += 1
            if answer.status_code == 503 and "retry-after" not in answer.headers:
                self.told.wrong.append(f"503 without Retry-After: {answer.text}")
            return None
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        self._take_time(path, result, asked)
        return result

    def _refused(self, status: int, what: str) -> None:
        if status == _GONE and self._may_be_late:
            self.told.late += 1
        else:
            self.told.wrong.append(what)

    def _take_time(self, path: str, result: dict[str, Any], asked: float) -> None:
        """Remember that what was asked for at that time was taken."""
        first = result["items"][0].get("result", {}) if "items" in result else result
        if first.get("recorded"):
            self.told.recorded_since = max(self.told.recorded_since, asked)
        if path.startswith("/reward") and first:
            self.told.rewarded_since = max(self.told.rewarded_since, asked)

    def _note(self, decision: dict[str, Any]) -> None:
        if decision["recorded"]:
            served = _served(decision)
            self.told.decisions |= served
            self.told.decided_at |= dict.fromkeys(served, time.monotonic())
        else:
            self.told.unrecorded += 1

    def _compare(self, first: dict[str, Any], again: dict[str, Any] | None) -> None:
        if again is not None and again["recorded"] and again["arm"] != first["arm"]:
            self.told.wrong.append(f"{first['decision_id']} was decided twice: {first} and {again}")

    def _named(self, place: Place) -> dict[str, Any]:
        decision_id, position = place
        own = {"experiment_id": self._experiment_id} if decision_id.startswith("own-") else {}
        return {"decision_id": decision_id} | own | ({"position": position} if position else {})

    def _value(self) -> int:
        """Return a reward in millionths: mostly 0 or 1, sometimes anything between."""
        return self._random.choice((0, 0, 0, MICRO, self._random.randrange(MICRO + 1)))


def _served(decision: dict[str, Any]) -> dict[Place, int]:
    """Return the arm of every place of an answer."""
    slate = decision.get("slate") or [decision]
    return {(decision["decision_id"], position): each["arm_index"] for position, each in enumerate(slate)}
