"""The test double, by the same questions as the real service; `TestEitherService` runs against both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bandit_core.best_arm import prob_best
from bandit_sdk import AsyncClient, BanditError, Client, Problem, Retries
from bandit_sdk.errors import ConflictError, ExpiredError, InvalidError, NotFoundError
from bandit_sdk.testing import InMemoryService

if TYPE_CHECKING:
    from conftest import NewExperiment


@pytest.fixture
def service_in_memory(rng: np.random.Generator) -> InMemoryService:
    return InMemoryService(rng=rng)


@pytest.fixture
def memory(service_in_memory: InMemoryService) -> Iterator[Client]:
    with Client("http://memory", transport=service_in_memory, retries=Retries(attempts=1)) as client:
        client.experiments.create("homepage", arms=["a", "b", {"id": "c", "prior": {"alpha": 2, "beta": 3}}])
        yield client


def outcome(action: Any) -> str:
    """Say what an action ends with, in words that both services share."""
    try:
        return str(action().status)
    except BanditError as error:
        problem = error.problem or Problem(status=0)
        return f"{problem.status} {' '.join(each.field for each in problem.errors)}".strip()


class TestEitherService:
    """Whatever the double knows, it answers as the service does."""

    @pytest.fixture(params=["memory", "real"])
    def either(self, request: pytest.FixtureRequest, memory: Client) -> tuple[Client, str]:
        if request.param == "memory":
            return memory, "homepage"
        new_experiment: NewExperiment = request.getfixturevalue("new_experiment")
        return request.getfixturevalue("client"), new_experiment("a", "b", "c")

    def test_rewards_are_counted_and_refused_alike(self, either: tuple[Client, str]) -> None:
        client, name = either
        decided = client.select(name)
        deferred = client.select(name, defer_activation=True)
        other = next(arm for arm in "abc" if arm != decided.arm)
        attempts = [
            lambda: client.reward(decided, reward=1.5),
            lambda: client.reward(decided, outcome="click"),
            lambda: client.reward(decided, reward=1.0, arm=other),
            lambda: client.reward(decided, reward=1.0),
            lambda: client.reward(decided, reward=1.0),
            lambda: client.reward(deferred, reward=1.0),
            lambda: client.activate(deferred),
            lambda: client.activate(deferred),
            lambda: client.reward(deferred, reward=0.0),
            lambda: client.reward("nobody", experiment_id=name, reward=0.0),
            lambda: client.reward(experiment_id=name, arm="z", reward=0.0),
            lambda: client.reward(experiment_id=name, arm="a", reward=0.0, reward_id="one"),
            lambda: client.reward(experiment_id=name, arm="a", reward=0.0, reward_id="one"),
        ]
        assert [outcome(attempt) for attempt in attempts] == [
            "422 reward",
            "422 outcome",
            "409",
            "applied",
            "duplicate",
            "applied",
            "activated",
            "duplicate",
            "duplicate",
            "404",
            "422 arm",
            "applied",
            "duplicate",
        ]  # fmt: skip

    def test_a_duplicate_tells_the_reward_that_counts(self, either: tuple[Client, str]) -> None:
        client, name = either
        decided = client.select(name)
        for reward in (1.0, 0.0):
            assert client.reward(decided, reward=reward).reward == 1.0
            direct = client.reward(experiment_id=name, arm="a", reward_id="first", reward=reward)
            assert direct.reward == 1.0

    def test_a_request_id_makes_a_repetition_the_same(self, either: tuple[Client, str]) -> None:
        client, name = either
        first = client.select(name, k=2, request_id=f"{name}-first")
        assert client.select(name, k=2, request_id=f"{name}-first") == first
        assert client.select(name, k=2, request_id=f"{name}-second").decision_id != first.decision_id

    def test_slates_and_subsets_are_answered_alike(self, either: tuple[Client, str]) -> None:
        client, name = either
        slate = client.select(name, k=2)
        assert len(set(slate.arms)) == 2
        assert (slate.vector, slate.arm, slate.propensity) == ("slate", slate.arms[0], slate.slate[0].propensity)
        assert slate.slate_propensity is not None
        assert 0 < slate.slate_propensity <= min(place.propensity for place in slate.slate)
        assert client.reward(slate, reward=1.0, position=1).arm == slate.arms[1]
        subset = client.select(name, eligible_arms=["a", "b"], exclude_arms=["a"])
        assert (subset.arm, subset.propensity) == ("b", 1.0)
        with pytest.raises(InvalidError):
            client.select(name, k=4)

    def test_a_paused_experiment_gives_whole_slates(self, either: tuple[Client, str]) -> None:
        client, name = either
        client.experiments.pause(name, reason="r")
        assert client.select(name, k=2).arms == ("a", "b")

    def test_slates_are_for_policies_that_rank(self, either: tuple[Client, str]) -> None:
        client, name = either
        client.experiments.patch(name, reason="r", policy="uniform")
        assert len(client.select(name, k=2).arms) == 2
        client.experiments.patch(name, reason="r", policy="top_two_thompson")
        with pytest.raises(InvalidError, match="slates need one of the policies"):
            client.select(name, k=2)

    def test_slates_are_refused_under_step_limits(self, either: tuple[Client, str]) -> None:
        client, name = either
        client.experiments.patch(name, reason="r", guardrails={"preset": "safe"})
        with pytest.raises(InvalidError, match="only min_weight can hold"):
            client.select(name, k=2)

    def test_own_ids_differ_from_signed_ones(self, either: tuple[Client, str]) -> None:
        client, name = either
        with pytest.raises(InvalidError, match="must not begin like"):
            client.select(name, decision_id="d1.x")

    def test_states_are_answered_alike(self, either: tuple[Client, str]) -> None:
        client, name = either
        assert client.experiments.pause(name, reason="r").status == "paused"
        paused = client.select(name)
        assert (paused.arm, paused.propensity, paused.stratum) == ("a", 1.0, "paused")
        client.experiments.resume(name, reason="r")
        client.experiments.conclude(name, reason="r", winner="b")
        assert client.select(name).arm == "b"
        with pytest.raises(ConflictError):
            client.experiments.pause(name, reason="r")
        client.experiments.archive(name, reason="r")
        with pytest.raises(ConflictError):
            client.select(name)

    def test_snapshots_are_taken_alike(self, either: tuple[Client, str]) -> None:
        client, name = either
        assert client.experiments.snapshot(name).taken_at is None
        client.reward(client.select(name), reward=1.0)
        client.reward(experiment_id=name, arm="b", reward=0.5)
        first = client.experiments.snapshot(name, min_events=3)
        assert first.taken
        sums = [(arm.decisions, arm.rewards, arm.reward_sum) for arm in first.arms]
        assert tuple(map(sum, zip(*sums, strict=True))) == (1, 2, 1.5)
        again = client.experiments.snapshot(name)
        assert (again.taken, again.taken_at, again.arms) == (False, first.taken_at, first.arms)
        assert client.experiments.snapshot(name, min_events=0).taken

    def test_evaluations_are_kept_alike(self, either: tuple[Client, str]) -> None:
        client, _ = either
        names = {"behavior_policy": "random", "evaluation_policy": "uniform", "method": "ips"}
        result = names | {"estimate": 0.1, "n": 100, "ess": 50.0, "coverage": 1.0}
        kept = client.experiments.keep_evaluation("log", dataset="obp", digest="x", results=[result])
        assert (kept.dataset, kept.results) == ("obp", 1)
        for results in ([result, result], [], [result | {"coverage": 2}]):
            with pytest.raises(InvalidError, match="results"):
                client.experiments.keep_evaluation("log", dataset="obp", digest="x", results=results)


class TestInMemoryService:
    def test_it_draws_by_the_posteriors(self, memory: Client) -> None:
        for _ in range(8):
            memory.reward(experiment_id="homepage", arm="b", reward=1.0)
        expected = 0.97 * prob_best([1, 9, 2], [1, 1, 3]) + 0.01
        batches = [memory.select_batch([{"experiment_id": "homepage"}] * 1_000) for _ in range(2)]
        drawn = Counter(item.unwrap().arm for batch in batches for item in batch)
        for arm, p in zip("abc", expected, strict=True):
            assert abs(drawn[arm] - 2_000 * p) < 4 * (2_000 * p * (1 - p)) ** 0.5 + 1
        assert memory.allocation("homepage").weights == pytest.approx(dict(zip("abc", expected, strict=True)), abs=0.02)

    def test_a_program_is_tested_offline_with_it(self, memory: Client, rng: np.random.Generator) -> None:
        rates = {"a": 0.1, "b": 0.2, "c": 0.6}
        for _ in range(300):
            selection = memory.select("homepage")
            memory.reward(selection, reward=float(rng.random() < rates[selection.arm]))
        posterior = memory.posterior("homepage")
        assert posterior.leader == "c"
        assert (posterior.decisions, sum(arm.rewards for arm in posterior.arms)) == (300, 300)

    def test_it_can_be_away(self, memory: Client, service_in_memory: InMemoryService) -> None:
        service_in_memory.away = True
        assert memory.select("homepage", default="a").is_default
        service_in_memory.away = False
        assert not memory.select("homepage", default="a").is_default

    def test_a_reward_before_its_activation_counts_then(self, memory: Client) -> None:
        deferred = memory.select("homepage", defer_activation=True)
        assert memory.reward(deferred, reward=1.0).status == "applied"
        assert sum(arm.rewards for arm in memory.posterior("homepage").arms) == 0
        memory.activate(deferred)
        assert sum(arm.rewards for arm in memory.posterior("homepage").arms) == 1

    def test_queued_rewards_count_once_later(self, memory: Client, service_in_memory: InMemoryService) -> None:
        selection = memory.select("homepage")
        service_in_memory.queueing = True
        assert memory.reward(selection, reward=1.0).status == "queued"
        assert [each.unwrap().status for each in memory.reward_batch([{"decision": selection, "reward": 1.0}])] == [
            "queued"
        ]
        with pytest.raises(InvalidError):
            memory.reward(selection, reward=1.5)
        assert sum(arm.rewards for arm in memory.posterior("homepage").arms) == 0
        service_in_memory.queueing = False
        assert sum(arm.rewards for arm in memory.posterior("homepage").arms) == 1
        assert memory.reward(selection, reward=1.0).status == "duplicate"

    def test_reward_windows_close(self) -> None:
        now = 1_000.0
        with Client("http://memory", transport=InMemoryService(clock=lambda: now)) as client:
            client.experiments.create("x", arms=["a", "b"], reward_window=60)
            selection = client.select("x")
            now += 61.0
            with pytest.raises(ExpiredError):
                client.reward(selection, reward=1.0)

    def test_guardrails_apply(self) -> None:
        with Client("http://memory", transport=InMemoryService()) as client:
            client.experiments.create("x", arms=["a", "b"], guardrails={"preset": "safe"})
            for _ in range(100):
                client.reward(experiment_id="x", arm="a", reward=1.0)
            assert client.allocation("x").weights == {"a": 0.5, "b": 0.5}

    @pytest.mark.parametrize(
        "unknown",
        [
            {"stopping": {"prob_best": 0.9}},
            {"policy": "linucb", "context": {"dimension": 2}},
            {"segment_by": [{"field": "time", "values": ["day", "night"], "default": "day"}]},
            {"rewards": {"distribution": "gaussian"}},
            {"missing_reward": "zero"},
        ],
    )
    def test_what_it_lacks_it_refuses(self, memory: Client, unknown: dict[str, Any]) -> None:
        with pytest.raises(InvalidError, match="does not have this"):
            memory.experiments.create("y", **{"arms": ["a", "b"], **unknown})
        with pytest.raises(NotFoundError, match="does not answer GET"):
            memory.report("homepage")
        with pytest.raises(NotFoundError, match="does not answer PUT"):
            memory.experiments.apply("homepage", reason="r", arms=["a", "b"])

    def test_no_rule_ends_an_experiment(self, memory: Client) -> None:
        assert memory.experiments.conclude("homepage", reason="r", by_rule=True).status == "running"

    def test_lists_know_status_and_namespace(self, memory: Client) -> None:
        memory.experiments.create("shop.checkout", arms=["a", "b"])
        memory.experiments.pause("homepage", reason="r")
        assert [each.experiment_id for each in memory.experiments.list(status="paused").items] == ["homepage"]
        assert [each.experiment_id for each in memory.experiments.list(namespace="shop").items] == ["shop.checkout"]

    async def test_the_async_client_takes_it_too(self, service_in_memory: InMemoryService) -> None:
        async with AsyncClient("http://memory", transport=service_in_memory) as client:
            created = await client.experiments.create("x", arms=["a", "b"], reward_model={"type": "binary"})
            assert await client.experiments.get("x") == created
            assert (await client.reward(await client.select("x"), outcome="success")).reward == 1.0
