"""Both clients against a real service, and against connections that break."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import httpx
import pytest

from bandit_local.servers.local_server import HOST, free_port
from bandit_sdk import AsyncClient, Client, Retries
from bandit_sdk.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthorizedError,
    UnexpectedAnswerError,
    UnreachableError,
)

if TYPE_CHECKING:
    from conftest import NewExperiment, Service


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what the service does by itself."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


NOWHERE = f"http://{HOST}:{free_port()}"
QUICK = Retries(attempts=3, base=0.001, cap=0.001)
EVALUATED = {
    "behavior_policy": "random",
    "evaluation_policy": "bts",
    "method": "dr",
    "estimate": 0.1,
    "n": 10,
    "ess": 5.0,
    "coverage": 1.0,
}


def rewards_of(client: Client, experiment_id: str) -> dict[str, tuple[int, float]]:
    return {arm.arm: (arm.rewards, arm.reward_sum) for arm in client.posterior(experiment_id).arms}


class TestDeciding:
    def test_a_decision_is_made_rewarded_once_and_believed(self, client: Client, new_experiment: NewExperiment) -> None:
        name = new_experiment("a", "b")
        selection = client.select(name, unit_id="visitor-17")
        assert selection.arm in ("a", "b")
        assert selection.propensity == pytest.approx(0.5)
        assert (selection.is_default, selection.recorded, selection.arms) == (False, True, (selection.arm,))
        assert client.reward(selection, reward=1.0).status == "applied"
        assert client.reward(selection, reward=1.0).status == "duplicate"
        assert rewards_of(client, name)[selection.arm] == (1, 1.0)

    def test_the_same_decision_id_gets_the_same_answer(self, client: Client, new_experiment: NewExperiment) -> None:
        name = new_experiment(*"abcdef")
        first = client.select(name, decision_id="mine")
        assert client.select(name, decision_id="mine") == first
        assert client.reward("mine", experiment_id=name, reward=0.5).arm == first.arm

    def test_an_outcome_is_judged_by_the_reward_model(self, client: Client, new_experiment: NewExperiment) -> None:
        name = new_experiment("a", "b", reward_model={"type": "map", "outcomes": {"click": 1, "skip": None}})
        assert client.reward(client.select(name), outcome="click").reward == 1.0
        assert client.reward(client.select(name), outcome="skip").status == "ignored"

    def test_a_direct_reward_counts_once_by_its_id(self, client: Client, new_experiment: NewExperiment) -> None:
        name = new_experiment()
        for _ in range(2):
            client.reward(experiment_id=name, arm="b", reward=1.0, reward_id="order-1")
        client.reward(experiment_id=name, arm="b", reward=0.0)
        assert rewards_of(client, name)["b"] == (2, 1.0)

    def test_a_deferred_decision_counts_once_it_is_activated(
        self, client: Client, new_experiment: NewExperiment
    ) -> None:
        name = new_experiment()
        selection = client.select(name, defer_activation=True)
        assert client.reward(selection, reward=1.0).status == "applied"
        assert rewards_of(client, name)[selection.arm] == (0, 0.0)
        assert client.activate(selection).status == "activated"
        assert client.activate(selection).status == "duplicate"
        wait_until(lambda: rewards_of(client, name)[selection.arm] == (1, 1.0))

    def test_items_of_a_batch_do_not_touch_each_other(self, client: Client, new_experiment: NewExperiment) -> None:
        name = new_experiment()
        decided, unknown = client.select_batch([{"experiment_id": name}, {"experiment_id": "nowhere"}])
        with pytest.raises(NotFoundError):
            unknown.unwrap()
        applied, again, wrong = client.reward_batch(
            [
                {"decision": decided.unwrap(), "reward": 1.0},
                {"decision": decided.unwrap(), "reward": 1.0},
                {"experiment_id": name, "arm": "c", "reward": 1.0},
            ]
        )
        assert (applied.unwrap().status, again.unwrap().status) == ("applied", "duplicate")
        assert isinstance(wrong.error, InvalidError)

    def test_a_wrong_request_carries_the_problem_document(self, client: Client, new_experiment: NewExperiment) -> None:
        with pytest.raises(InvalidError, match="reward") as raised:
            client.reward(client.select(new_experiment()), reward=2.0)
        assert raised.value.problem is not None
        assert [error.field for error in raised.value.problem.errors] == ["reward"]


class TestDecidingByMore:
    """Contexts, segments, slates, eligible arms and rewards of any size."""

    def test_features_decide_by_a_vector_of_their_own(self, client: Client, new_experiment: NewExperiment) -> None:
        name = new_experiment("a", "b", policy={"name": "linear_thompson"}, context={"features": ["age", "spend"]})
        for context in ({"age": 0.3, "spend": -1.0}, [0.3, -1.0]):
            selection = client.select(name, context=context)
            assert selection.vector == "context"
            assert client.reward(selection, reward=1.0).status == "applied"
        with pytest.raises(InvalidError, match="spend"):
            client.select(name, context={"age": 0.3})
        direct = client.reward(experiment_id=name, arm="a", reward=0.0, context=[0.1, 0.2])
        assert direct.status == "applied"

    def test_a_segment_is_named(self, client: Client, new_experiment: NewExperiment) -> None:
        segments = [{"field": "user_type", "values": ["new", "regular"], "default": "regular"}]
        name = new_experiment("a", "b", segment_by=segments)
        selection = client.select(name, context={"user_type": "new"})
        assert selection.segment is not None
        assert "new" in selection.segment
        assert client.experiments.get(name).segment_by[0]["field"] == "user_type"

    def test_each_position_of_a_slate_is_rewarded_once(self, client: Client, new_experiment: NewExperiment) -> None:
        selection = client.select(new_experiment(*"abcd"), k=3, exclude_arms=["d"])
        assert sorted(selection.arms) == ["a", "b", "c"]
        assert selection.slate_propensity == pytest.approx(1 / 6)
        rewarded = client.reward_batch(
            [{"decision": selection, "position": place, "reward": 1.0} for place in (0, 2, 2)]
        )
        assert [item.unwrap().status for item in rewarded] == ["applied", "applied", "duplicate"]
        assert [item.unwrap().arm for item in rewarded[:2]] == [selection.arms[0], selection.arms[2]]

    def test_the_vector_of_eligible_arms_is_marked(self, client: Client, new_experiment: NewExperiment) -> None:
        selection = client.select(new_experiment(*"abc"), eligible_arms=["a", "c"])
        assert selection.arm in ("a", "c")
        assert selection.vector in ("subset", "renormalised")
        assert selection.propensity == pytest.approx(0.5)

    def test_gaussian_rewards_have_no_alpha(self, client: Client, new_experiment: NewExperiment) -> None:
        name = new_experiment("a", "b", rewards={"distribution": "gaussian", "mean": 50.0, "scale": 100.0})
        assert client.reward(client.select(name), reward=-73.5).reward == -73.5
        arms = client.posterior(name).arms
        assert {arm.alpha for arm in arms} == {None}
        assert sum(arm.reward_sum for arm in arms) == -73.5

    def test_the_report_is_given_as_the_service_writes_it(self, client: Client, new_experiment: NewExperiment) -> None:
        name = new_experiment()
        report = client.report(name)
        assert report["experiment_id"] == name
        assert [arm["arm"] for arm in report["arms"]] == ["a", "b"]


class TestManaging:
    def test_an_experiment_lives_from_creation_to_archive(self, client: Client) -> None:
        experiments = client.experiments
        created = experiments.create("sdk-life", arms=["a", {"id": "b", "prior": {"alpha": 2, "beta": 20}}])
        assert created == experiments.get("sdk-life")
        assert [(arm.id, arm.prior["beta"]) for arm in created.arms] == [("a", 1.0), ("b", 20.0)]
        assert experiments.patch("sdk-life", reason="more of it", holdout=0.1, control_arm="a").holdout == 0.1
        assert experiments.pause("sdk-life", reason="a doubt").status == "paused"
        assert experiments.resume("sdk-life", reason="none left").status == "running"
        assert not experiments.snapshot("sdk-life").taken
        assert len(experiments.snapshot("sdk-life", min_events=0).arms) == 2
        assert experiments.keep_evaluation("sdk-life", dataset="log", digest="x", results=[EVALUATED]).results == 1
        assert experiments.conclude("sdk-life", reason="r", by_rule=True).status == "running"
        assert experiments.conclude("sdk-life", reason="obvious", winner="b").winner == "b"
        assert experiments.archive("sdk-life", reason="done").status == "archived"
        with pytest.raises(ConflictError):
            client.select("sdk-life")

    def test_a_change_on_an_old_revision_is_refused(self, client: Client, new_experiment: NewExperiment) -> None:
        name = new_experiment()
        client.experiments.patch(name, reason="first", description="x")
        with pytest.raises(ConflictError):
            client.experiments.patch(name, reason="second", description="y", expected_revision=1)

    def test_lists_come_in_pages(self, client: Client) -> None:
        for number in range(3):
            client.experiments.create(f"pages.{number}", arms=["a", "b"])
        first = client.experiments.list(namespace="pages", limit=2)
        rest = client.experiments.list(namespace="pages", limit=2, cursor=first.next_cursor)
        found = [item.experiment_id for item in (*first.items, *rest.items)]
        assert found == ["pages.0", "pages.1", "pages.2"]
        assert rest.next_cursor is None

    def test_beliefs_weights_and_the_stopping_rule_can_be_read(
        self, client: Client, new_experiment: NewExperiment
    ) -> None:
        name = new_experiment(stopping={"prob_best": 0.99})
        assert [arm.mean for arm in client.posterior(name).arms] == [0.5, 0.5]
        assert client.allocation(name).weights == pytest.approx({"a": 0.5, "b": 0.5})
        conclusion = client.conclusion(name)
        assert (conclusion.stop, conclusion.outcome) == (False, "undecided")
        assert conclusion.conditions[0].threshold == 0.99

    def test_roles_apply(self, service: Service, new_experiment: NewExperiment) -> None:
        name = new_experiment()
        with service.client("reader") as reader, pytest.raises(ForbiddenError, match="writer"):
            reader.select(name)
        with Client(service.url) as nobody, pytest.raises(UnauthorizedError):
            nobody.posterior(name)


class TestAsyncClient:
    """The awaiting is all that differs."""

    async def test_it_decides_rewards_and_reads(self, async_client: AsyncClient, new_experiment: NewExperiment) -> None:
        name = new_experiment()
        selection = await async_client.select(name)
        assert (await async_client.reward(selection, reward=1.0)).status == "applied"
        deferred = await async_client.select(name, defer_activation=True)
        assert (await async_client.activate(deferred)).status == "activated"
        decided = await async_client.select_batch([{"experiment_id": name}] * 3)
        rewarded = await async_client.reward_batch([{"decision": item.unwrap(), "reward": 0.0} for item in decided])
        assert [item.unwrap().status for item in rewarded] == ["applied"] * 3
        assert sum(arm.rewards for arm in (await async_client.posterior(name)).arms) == 4
        assert set((await async_client.allocation(name)).weights) == {"a", "b"}
        assert not (await async_client.conclusion(name)).stop
        assert (await async_client.report(name))["experiment_id"] == name

    async def test_it_manages(self, async_client: AsyncClient) -> None:
        experiments = async_client.experiments
        created = await experiments.create("sdk-async-life", arms=["a", "b"])
        assert await experiments.get("sdk-async-life") == created
        assert (await experiments.patch("sdk-async-life", reason="r", description="d")).description == "d"
        assert (await experiments.pause("sdk-async-life", reason="r")).status == "paused"
        assert (await experiments.resume("sdk-async-life", reason="r")).status == "running"
        assert (await experiments.snapshot("sdk-async-life", min_events=0)).taken
        kept = await experiments.keep_evaluation("sdk-async-life", dataset="log", digest="x", results=[EVALUATED])
        assert kept.dataset == "log"
        assert (await experiments.conclude("sdk-async-life", reason="r", winner="a")).status == "concluded"
        assert (await experiments.archive("sdk-async-life", reason="r")).status == "archived"
        page = await experiments.list(status="archived", limit=1_000)
        assert "sdk-async-life" in [item.experiment_id for item in page.items]

    async def test_its_default_stands_in_too(self) -> None:
        async with AsyncClient(NOWHERE, retries=QUICK) as client:
            selection = await client.select("homepage", default="a")
            assert (selection.arm, selection.is_default) == ("a", True)
            assert (await client.reward(selection, reward=1.0)).status == "not_sent"
            with pytest.raises(UnreachableError):
                await client.select("homepage")


class TestAway:
    def test_without_a_default_it_is_an_error_that_says_how_often_it_was_tried(self) -> None:
        with Client(NOWHERE, retries=QUICK) as client, pytest.raises(UnreachableError, match="after 3 attempts"):
            client.select("homepage")

    def test_the_default_stands_in_and_its_reward_is_not_sent(self) -> None:
        with Client(NOWHERE, retries=QUICK) as client:
            selection = client.select("homepage", default="a")
            assert (selection.arm, selection.is_default, selection.decision_id) == ("a", True, None)
            assert "did not answer" in selection.reason
            assert client.reward(selection, reward=1.0).status == "not_sent"

    def test_something_else_at_the_url_is_told_apart(self) -> None:
        page = httpx.MockTransport(lambda _: httpx.Response(200, html="<h1>hello</h1>"))
        with Client("http://somewhere", transport=page) as client:
            with pytest.raises(UnexpectedAnswerError, match="check the URL"):
                client.posterior("homepage")
            assert client.select("homepage", default="a").is_default


class LosesAnswers(httpx.BaseTransport):
    """A network that delivers every request and loses the first answers."""

    def __init__(self, lost: int) -> None:
        self._lost = lost
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        response.read()
        if self._lost > 0:
            self._lost -= 1
            raise httpx.ReadTimeout("the answer got lost", request=request)
        return response

    def close(self) -> None:
        self._inner.close()


class TestLostAnswers:
    """The key was fixed before the first attempt, so what is sent again is recognised."""

    def test_a_repeated_selection_is_one_decision(self, service: Service, new_experiment: NewExperiment) -> None:
        name = new_experiment()
        key, lossy = service.keys["admin"], LosesAnswers(2)
        with Client(service.url, api_key=key, transport=lossy, retries=QUICK, timeout=10.0) as client:
            client.reward(client.select(name), reward=1.0)
            client.select(name)
            wait_until(lambda: client.posterior(name).decisions >= 2)
            assert client.posterior(name).decisions == 2

    def test_a_repeated_direct_reward_counts_once(self, service: Service, new_experiment: NewExperiment) -> None:
        name = new_experiment()
        key, lossy = service.keys["admin"], LosesAnswers(2)
        with Client(service.url, api_key=key, transport=lossy, retries=QUICK, timeout=10.0) as client:
            assert client.reward(experiment_id=name, arm="a", reward=1.0).status == "duplicate"
            assert rewards_of(client, name)["a"] == (1, 1.0)

    def test_it_waits_between_attempts_as_it_was_told(self, service: Service, new_experiment: NewExperiment) -> None:
        pauses: list[float] = []
        name = new_experiment()
        retries = Retries(base=1.0, cap=1.0)
        with Client(
            service.url,
            api_key=service.keys["admin"],
            transport=LosesAnswers(3),
            retries=retries,
            timeout=10.0,
            sleep=pauses.append,
            rng=Random(5),
        ) as client:
            client.posterior(name)
        expected = Random(5)
        assert pauses == [retries.backoff(attempt, expected) for attempt in (1, 2, 3)]
