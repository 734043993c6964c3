"""Clients that do all kinds of things at the same time, and a ledger of what they were told.

They select, activate and reward: with retries, duplicates, requests cut off and sent again, late, unknown and wrong
ones, fractional and ignored outcomes, direct rewards, ids of their own and batches. Meanwhile an arm joins, two retire,
and an experiment pauses.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

MICRO = 1_000_000
VISITORS, ACTIONS = 6, 25
PRIORS = {"a": (1_000_000, 1_000_000), "b": (2_000_000, 20_000_000), "c": (500_000, 333_333), "d": (4_000_000, 1)}
ARMS = [{"id": arm, "prior": {"alpha": alpha / MICRO, "beta": beta / MICRO}} for arm, (alpha, beta) in PRIORS.items()]
# "d" joins while the experiment runs.
EXPERIMENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "graded": {"reward_model": {"type": "threshold", "success": 4, "failure": 2}},
    "zeros": {"missing_reward": "zero", "reward_window": 1.0, "reward_model": {"type": "ternary"}},
    "brief": {"reward_window": 0.1},
    "shop.sticky": {"assignment": "sticky", "holdout": 0.2, "control_arm": "a"},
    "open": {"missing_reward": "zero", "reward_window": 3.0},
}
OUTCOMES: dict[str, list[Any]] = {"graded": [1, 2, 3, 4, 5], "zeros": ["success", "neutral", "failure"]}


class Belief(NamedTuple):
    """What is believed of an arm, in millionths, and what that rests on."""

    alpha_micro: int
    beta_micro: int
    decisions: int
    rewards: int


type Beliefs = dict[tuple[str, str], Belief]


@dataclass
class Ledger:
    """What clients were told, and nothing else."""

    decisions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    deferred: set[tuple[str, str]] = field(default_factory=set)
    activated: set[tuple[str, str]] = field(default_factory=set)
    outcomes: dict[tuple[str, str], int | None] = field(default_factory=dict)
    direct: dict[tuple[str, str, str], int] = field(default_factory=dict)
    late: set[tuple[str, str]] = field(default_factory=set)

    def decided(self, told: dict[str, Any], *, deferred: bool) -> None:
        key = told["experiment_id"], told["decision_id"]
        assert self.decisions.setdefault(key, told) == told, "the same decision twice, and different"
        if deferred:
            self.deferred.add(key)

    def rewarded(self, told: dict[str, Any]) -> None:
        key = told["experiment_id"], told["decision_id"]
        micro = None if told["reward"] is None else round(told["reward"] * MICRO)
        if told["status"] == "duplicate":
            # Of a request that was cut off, the repetition is the first that is heard.
            self.outcomes.setdefault(key, micro)
        else:
            self.outcomes[key] = micro

    def fold(self, experiments: list[str]) -> Beliefs:
        """Return the beliefs that follow once every window has closed."""
        added: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for key, told in self.decisions.items():
            counts = told["stratum"] == "bandit" and (key not in self.deferred or key in self.activated)
            if counts:
                added[key[0], told["arm"]][2] += 1
            zero = EXPERIMENTS[key[0]].get("missing_reward") == "zero"
            missing = 0 if zero and counts else None
            micro = self.outcomes.get(key, missing)
            if micro is not None and counts:
                _add(added[key[0], told["arm"]], micro)
        for (experiment, arm, _), micro in self.direct.items():
            _add(added[experiment, arm], micro)
        return {
            (experiment, arm): Belief(
                PRIORS[arm][0] + added[experiment, arm][0],
                PRIORS[arm][1] + added[experiment, arm][1],
                *added[experiment, arm][2:],
            )
            for experiment in experiments
            for arm in PRIORS
            if arm != "d" or experiment == "plain"
        }


def _add(sums: list[int], micro: int) -> None:
    sums[0] += micro
    sums[1] += MICRO - micro
    sums[3] += 1


class Visitor:
    """A client that does this and that."""

    def __init__(self, number: int, http: httpx.AsyncClient, ledger: Ledger) -> None:
        self._number = number
        self._http = http
        self._ledger = ledger
        self._rng = np.random.default_rng(number)
        self._names = 0

    async def act(self) -> None:
        actions = (self.visit, self.visit_by_own_id, self.batch, self.report, self.be_late, self.err)
        await actions[self._rng.choice(len(actions), p=(0.35, 0.2, 0.1, 0.2, 0.05, 0.1))]()

    async def visit(self) -> None:
        """Select, perhaps show later, and reward once or several times at once."""
        body = self._selection(deferred=bool(self._rng.random() < 0.3))
        told = await self._post("/select", body, 200)
        self._ledger.decided(told, deferred=body["defer_activation"])
        if body["defer_activation"]:
            if self._rng.random() < 0.3:
                # It counts once the decision is shown, and not before.
                await self._reward(self._reward_for(told))
            if self._rng.random() < 0.3:
                return
            await asyncio.gather(*(self._activate(told) for _ in range(2)))
        if self._rng.random() < 0.7:
            reward = self._reward_for(told)
            await asyncio.gather(*(self._reward(reward) for _ in range(self._rng.integers(1, 4))))
            await self._reward(self._reward_for(told))

    async def visit_by_own_id(self) -> None:
        """Select and reward under an id of one's own, each cut off once and sent again."""
        body = self._selection(deferred=False) | {"decision_id": self._name("order")}
        await self._cut_off("/select", body)
        answers = await asyncio.gather(*(self._post("/select", body, 200) for _ in range(3)))
        for told in answers:
            self._ledger.decided(told, deferred=False)
        reward = self._reward_for(answers[0]) | {"experiment_id": body["experiment_id"]}
        await self._cut_off("/reward", reward)
        await self._reward(reward)

    async def batch(self) -> None:
        """Select and reward in batches with things in between that are wrong."""
        items = [self._selection(deferred=False) for _ in range(20)]
        answer = await self._post("/select/batch", {"items": [*items, {"experiment_id": "nowhere"}, 17]}, 200)
        assert [item["status"] for item in answer["items"]] == [200] * 20 + [404, 422]
        rewards: list[Any] = []
        for item in answer["items"][:20]:
            self._ledger.decided(item["result"], deferred=False)
            rewards.append(self._reward_for(item["result"]))
        rewards += rewards[:5]
        answer = await self._post("/reward/batch", {"items": [*rewards, {"decision_id": "d1.AAAA", "reward": 1}]}, 200)
        assert answer["items"].pop()["status"] == 404
        for reward, item in zip(rewards, answer["items"], strict=True):
            if item["status"] == 200:
                self._ledger.rewarded(item["result"])
            else:
                self._heard_late(reward, item["status"])

    async def report(self) -> None:
        """Reward an arm without a decision, with an id or without."""
        name = self._name("report")
        experiment, arm = self._experiment(), str(self._rng.choice(["a", "c"]))
        body = {"experiment_id": experiment, "arm": arm, "reward": self._rng.random(), "reward_id": name}
        if self._rng.random() < 0.5:
            del body["reward_id"]
            times = range(2)
        else:
            await self._cut_off("/reward", body)
            times = range(3)
        for time_ in times:
            told = await self._post("/reward", body, 200)
            named = name if "reward_id" in body else f"{name}-{time_}"
            self._ledger.direct[experiment, arm, named] = round(told["reward"] * MICRO)

    async def be_late(self) -> None:
        told = await self._post("/select", {"experiment_id": "brief"}, 200)
        self._ledger.decided(told, deferred=False)
        await asyncio.sleep(0.15)
        for _ in range(2):
            await self._reward({"decision_id": told["decision_id"], "reward": 1})

    async def err(self) -> None:
        """Say what is wrong: it must leave no trace."""
        body = self._selection(deferred=False)
        told = await self._post("/select", body, 200)
        self._ledger.decided(told, deferred=False)
        name = told["decision_id"]
        forged = name[:20] + ("A" if name[20] != "A" else "B") + name[21:]
        await self._post("/reward", {"decision_id": forged, "reward": 1}, 404)
        await self._post("/reward", {"decision_id": name, "reward": 1.5}, 422)
        await self._post("/reward", {"decision_id": name, "outcome": "sideways"}, 422)
        await self._post("/reward", {"experiment_id": body["experiment_id"], "arm": "nobody", "reward": 1}, 422)
        await self._post("/select", body | {"K": 2}, 422)

    async def _reward(self, body: dict[str, Any]) -> None:
        response = await self._http.post("/reward", json=body)
        if response.status_code == 200:
            self._ledger.rewarded(response.json())
        else:
            self._heard_late(body, response.status_code)

    def _heard_late(self, body: dict[str, Any], status: int) -> None:
        [key] = [key for key in self._ledger.decisions if key[1] == body["decision_id"]]
        assert status == 410
        assert key not in self._ledger.outcomes, "late, although it was in time before"
        self._ledger.late.add(key)

    async def _activate(self, told: dict[str, Any]) -> None:
        response = await self._http.post("/activate", json={"decision_id": told["decision_id"]})
        if response.status_code == 200:
            self._ledger.activated.add((told["experiment_id"], told["decision_id"]))
        else:
            assert response.status_code == 410

    async def _cut_off(self, path: str, body: dict[str, Any]) -> None:
        """Send a request and do not wait for what becomes of it."""
        task = asyncio.create_task(self._http.post(path, json=body))
        await asyncio.sleep(self._rng.uniform(0, 0.004))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _post(self, path: str, body: dict[str, Any], status: int) -> Any:
        response = await self._http.post(path, json=body)
        assert response.status_code == status, (path, body, response.text)
        return response.json()

    def _selection(self, *, deferred: bool) -> dict[str, Any]:
        unit = f"visitor-{self._rng.integers(50)}"
        return {"experiment_id": self._experiment(), "unit_id": unit, "defer_activation": deferred}

    def _reward_for(self, told: dict[str, Any]) -> dict[str, Any]:
        outcomes = OUTCOMES.get(told["experiment_id"])
        if outcomes is not None:
            return {"decision_id": told["decision_id"], "outcome": outcomes[self._rng.integers(len(outcomes))]}
        value = self._rng.random() if self._rng.random() < 0.5 else int(self._rng.integers(2))
        return {"decision_id": told["decision_id"], "reward": value}

    def _experiment(self) -> str:
        return str(self._rng.choice(["plain", "graded", "zeros", "shop.sticky"]))

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._number}-{self._names}"


class Clients:
    """All visitors together, and whoever changes the experiments meanwhile."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    async def mix(self, url: str) -> None:
        """Create the experiments, visit and change them."""
        async with _client(url) as http:
            for name, fields in EXPERIMENTS.items():
                body = {"experiment_id": name, "arms": ARMS[:3], **fields}
                assert (await http.post("/experiments", json=body)).status_code == 201
            visitors = [Visitor(number, http, self.ledger) for number in range(VISITORS)]
            await asyncio.gather(self._change(http), *(_stroll(visitor) for visitor in visitors))

    async def leave_windows_open(self, url: str) -> None:
        """Make decisions whose windows are still open when this returns, some of them rewarded."""
        async with _client(url) as http:
            for number in range(30):
                told = (await http.post("/select", json={"experiment_id": "open"})).json()
                self.ledger.decided(told, deferred=False)
                if number % 3 == 0:
                    body = {"decision_id": told["decision_id"], "reward": number / 100}
                    self.ledger.rewarded((await http.post("/reward", json=body)).json())

    async def repeat(self, url: str) -> None:
        """Send again what was sent before: nothing may count a second time, nor be answered differently."""
        async with _client(url) as http:
            for experiment, decision_id in [*self.ledger.outcomes][:100]:
                body = {"experiment_id": experiment, "decision_id": decision_id, "reward": 1}
                answer = await http.post("/reward", json=body)
                assert (answer.status_code, answer.json().get("status")) == (200, "duplicate")
            for experiment, decision_id in self.ledger.late:
                body = {"experiment_id": experiment, "decision_id": decision_id, "reward": 1}
                assert (await http.post("/reward", json=body)).status_code == 410
            for (experiment, decision_id), told in self.ledger.decisions.items():
                if decision_id.startswith("order-"):
                    body = {"experiment_id": experiment, "decision_id": decision_id, "unit_id": "anybody"}
                    assert (await http.post("/select", json=body)).json() == told

    async def _change(self, http: httpx.AsyncClient) -> None:
        why = {"reason": "the run is mixed"}
        for path, more in (
            ("graded/pause", {}),
            ("plain/arms", ARMS[3]),
            ("graded/arms/b/retire", {}),
            ("graded/resume", {}),
            ("plain/arms/d/retire", {}),
        ):
            await asyncio.sleep(0.2)
            assert (await http.post(f"/experiments/{path}", json=why | more)).is_success
            if path == "plain/arms":
                body = {"experiment_id": "plain", "arm": "d", "reward": 0.25}
                assert (await http.post("/reward", json=body)).is_success
                self.ledger.direct["plain", "d", "by whoever added it"] = MICRO // 4


def _client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=60.0)


async def _stroll(visitor: Visitor) -> None:
    for _ in range(ACTIONS):
        await visitor.act()


@pytest.fixture(scope="module")
def clients() -> Clients:
    return Clients()
