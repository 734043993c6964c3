"""After a mixed run over real HTTP, beliefs equal what clients were told, to the millionth; and so after a rebuild.

Clients select, activate and reward at the same time: with retries, duplicates, requests cut off and sent again, late,
unknown and wrong ones, fractional and ignored outcomes, direct rewards, ids of their own and batches. Meanwhile an arm
joins, one retires, and an experiment pauses. A ledger notes what they were told, and folds it on its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import numpy as np
import psycopg
import pytest
import redis

if TYPE_CHECKING:
    from conftest import Serve

    from bandit_service.settings import Settings

MICRO = 1_000_000
CLIENTS, ACTIONS = 6, 40
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
            if micro is not None and told["stratum"] == "bandit":
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
            await self._post("/reward", self._reward_for(told), 409)
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
        await self._post("/select", body | {"k": 2}, 422)

    async def _reward(self, body: dict[str, Any]) -> None:
        response = await self._http.post("/reward", json=body)
        if response.status_code == 200:
            self._ledger.rewarded(response.json())
        else:
            self._heard_late(body, response.status_code)

    def _heard_late(self, body: dict[str, Any], status: int) -> None:
        [key] = [key for key in self._ledger.decisions if key[1] == body["decision_id"]]
        never_shown = key in self._ledger.deferred - self._ledger.activated
        assert status == (409 if never_shown else 410)
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


class Witness:
    """Reads what the service believes and has logged, past the service."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._redis = redis.Redis.from_url(settings.redis_url.get_secret_value(), decode_responses=True)
        self._dsn = settings.postgres_dsn.get_secret_value()
        self._url = url

    def beliefs(self, experiments: list[str]) -> Beliefs:
        """Return alpha and beta from their documented keys, and the counts that go with them."""
        return {
            (experiment, arm["arm"]): Belief(
                *(
                    int(self._redis.get(f"experiment:{{{experiment}}}:arm:{arm['index']}:{name}") or 0)
                    for name in NAMES
                ),
                arm["decisions"],
                arm["rewards"],
            )
            for experiment in experiments
            for arm in httpx.get(f"{self._url}/experiments/{experiment}/posterior").raise_for_status().json()["arms"]
        }

    def wait(self, experiments: list[str], *, keys: tuple[str, ...], seconds: float = 40.0) -> None:
        """Wait until no window is open (`pending`) and no event is on its way to Postgres (`events`)."""
        deadline = time.monotonic() + seconds
        names = [f"experiment:{{{experiment}}}:{key}" for experiment in experiments for key in keys]
        while any(self._redis.exists(name) and self._left(name) for name in names):
            assert time.monotonic() < deadline, "windows stay open, or events do not reach Postgres"
            time.sleep(0.05)

    def forget_everything(self) -> None:
        self._redis.flushall()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def _left(self, name: str) -> Any:
        return self._redis.xlen(name) if name.endswith(":events") else self._redis.zcard(name)


NAMES = ("alpha", "beta")
CLOSED = ["plain", "graded", "zeros", "brief", "shop.sticky"]


@dataclass
class Run:
    """What clients were told, what was believed before and after the rebuild, and what was logged."""

    ledger: Ledger
    before: Beliefs
    after: Beliefs
    after_closing: Beliefs
    events: list[tuple[Any, ...]]
    weights: dict[tuple[str, int], dict[str, float]]


async def mixed(url: str, ledger: Ledger) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as http:
        for name, fields in EXPERIMENTS.items():
            body = {"experiment_id": name, "arms": ARMS[:3], **fields}
            assert (await http.post("/experiments", json=body)).status_code == 201
        visitors = [Visitor(number, http, ledger) for number in range(CLIENTS)]
        await asyncio.gather(change(http), *(_stroll(visitor) for visitor in visitors))


async def _stroll(visitor: Visitor) -> None:
    for _ in range(ACTIONS):
        await visitor.act()


async def change(http: httpx.AsyncClient) -> None:
    """Change experiments while they are visited."""
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
            told = await http.post("/reward", json={"experiment_id": "plain", "arm": "d", "reward": 0.25})
            assert told.is_success


async def leave_windows_open(url: str, ledger: Ledger) -> None:
    """Make decisions whose windows close after the rebuild, some of them rewarded."""
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as http:
        for number in range(30):
            told = (await http.post("/select", json={"experiment_id": "open"})).json()
            ledger.decided(told, deferred=False)
            if number % 3 == 0:
                body = {"decision_id": told["decision_id"], "reward": number / 100}
                ledger.rewarded((await http.post("/reward", json=body)).json())


@pytest.fixture(scope="module")
async def run(serve: Serve, module_settings: Settings) -> AsyncIterator[Run]:
    ledger = Ledger()
    with serve(module_settings) as url:
        witness = Witness(module_settings, url)
        await mixed(url, ledger)
        ledger.direct["plain", "d", "by change"] = MICRO // 4
        witness.wait(CLOSED, keys=("pending", "events"))
        before = witness.beliefs(CLOSED)
        await leave_windows_open(url, ledger)
    witness.forget_everything()
    with serve(module_settings) as url:
        witness = Witness(module_settings, url)
        after = witness.beliefs(CLOSED)
        await repeat(url, ledger)
        witness.wait(list(EXPERIMENTS), keys=("pending", "events"))
        yield Run(
            ledger,
            before,
            after,
            witness.beliefs(list(EXPERIMENTS)),
            witness.rows(
                "SELECT experiment_id, decision_id, kind, arm_index, stratum, propensity, weights_version, "
                "believed FROM bandit_events"
            ),
            {
                (name, version): weights
                for name, version, weights in witness.rows(
                    "SELECT experiment_id, weights_version, weights FROM allocations"
                )
            },
        )


async def repeat(url: str, ledger: Ledger) -> None:
    """Send again what was sent before the rebuild: nothing may count a second time."""
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as http:
        for experiment, decision_id in [*ledger.outcomes][:100]:
            if experiment != "open":
                body = {"experiment_id": experiment, "decision_id": decision_id, "reward": 1}
                answer = await http.post("/reward", json=body)
                assert (answer.status_code, answer.json().get("status")) == (200, "duplicate")
        for (experiment, decision_id), told in ledger.decisions.items():
            if decision_id.startswith("order-"):
                body = {"experiment_id": experiment, "decision_id": decision_id, "unit_id": "anybody"}
                assert (await http.post("/select", json=body)).json() == told


def test_the_run_was_mixed(run: Run) -> None:
    ledger = run.ledger
    strata = {told["stratum"] for told in ledger.decisions.values()}
    assert strata == {"bandit", "holdout", "paused"}
    assert len(ledger.decisions) > 500
    assert ledger.late
    assert ledger.deferred - ledger.activated
    assert ledger.activated
    assert None in ledger.outcomes.values()
    assert any(micro not in (0, MICRO, None) for micro in ledger.outcomes.values())
    assert any(told["weights_version"] > 10 for told in ledger.decisions.values())


def test_beliefs_are_what_clients_were_told_to_the_millionth(run: Run) -> None:
    assert run.before == run.ledger.fold(CLOSED)


def test_beliefs_rebuilt_from_postgres_are_the_same(run: Run) -> None:
    assert run.after == run.ledger.fold(CLOSED)


def test_windows_that_were_open_at_the_rebuild_close_as_if_nothing_had_happened(run: Run) -> None:
    assert run.after_closing == run.ledger.fold(list(EXPERIMENTS))


def test_every_decision_is_logged_once_with_what_the_client_was_told(run: Run) -> None:
    logged = {
        (event[0], event[1]): (event[3], event[4], event[5], event[6]) for event in run.events if event[2] == "decision"
    }
    told = {
        key: (each["arm_index"], each["stratum"], each["propensity"], each["weights_version"])
        for key, each in run.ledger.decisions.items()
    }
    assert told.items() <= logged.items()


def test_the_logged_propensity_is_the_weight_that_was_published_under_its_version(run: Run) -> None:
    compared = 0
    for experiment, decision_id, kind, arm_index, stratum, propensity, version, _ in run.events:
        weights = run.weights.get((experiment, version))
        if kind == "decision" and stratum == "bandit" and weights is not None:
            arm = list(PRIORS)[arm_index]
            active = sum(weight for name, weight in weights.items() if name not in RETIRED.get(experiment, ()))
            assert propensity in (pytest.approx(weights[arm]), pytest.approx(weights[arm] / active)), decision_id
            compared += 1
    assert compared > 100


RETIRED = {"graded": ("b",), "plain": ("d",)}


def test_exactly_the_rewards_that_count_changed_beliefs(run: Run) -> None:
    believed = sum(event[7] for event in run.events)
    assert believed == sum(belief.rewards for belief in run.after_closing.values())
