"""A graph that works: requests are routed, feedback becomes rewards, and the better variant is learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .conftest import VARIANTS, StartRouter
from .executor import Executor, NodeError
from .nodes import Node

if TYPE_CHECKING:
    from conftest import Service

REQUESTS = 2_000
AT_ONCE = 6
RATES = {"worse": 0.1, "better": 0.3}


@pytest.fixture(scope="module")
def experiment(service_process: Service) -> str:
    return service_process.create(*VARIANTS)


@pytest.fixture(scope="module")
def router(start_router: StartRouter, experiment: str) -> Iterator[Node]:
    with start_router(experiment, grpc=True) as node:
        yield node


@pytest.fixture
def executor(router: Node, variants: list[Node]) -> Executor:
    return Executor(router, variants)


def test_two_thousand_requests_learn_the_better_variant(
    executor: Executor, router: Node, variants: list[Node], service: Service, experiment: str
) -> None:
    told = sum(node.metric("bandit_variant_feedback_total") for node in variants)
    clicks = np.random.default_rng(20_251).random(REQUESTS)

    def visit(click: float) -> tuple[str, float]:
        prediction = executor.predict()
        variant: str = prediction.response["jsonData"]["variant"]
        reward = float(click < RATES[variant])
        said = executor.feedback(prediction.response, reward, prediction.puid)
        assert said["jsonData"] == {"status": "applied", "fallback": "none", "arm": variant, "reward": reward}
        return variant, reward

    with ThreadPoolExecutor(AT_ONCE) as visitors:
        visits = list(visitors.map(visit, clicks.tolist()))
    served = Counter(variant for variant, _ in visits)
    rewards = Counter(variant for variant, reward in visits if reward)

    assert service.rewards(experiment) == {
        variant: (rewards[variant], served[variant] - rewards[variant]) for variant in VARIANTS
    }
    assert service.ask("GET", f"/experiments/{experiment}/allocation")["weights"]["better"] > 0.95
    assert served["better"] > 0.8 * REQUESTS
    assert router.metric("bandit_router_routed_total") == REQUESTS
    assert router.metric("bandit_router_default_arm_total") == 0
    # Zero rewards are counted here, and are not by the wrapper's own counter.
    assert router.metric("bandit_router_rewards_total", status="applied", fallback="none") == REQUESTS
    assert router.metric("bandit_router_reward_sum_total") == rewards.total()
    assert router.metric("seldon_api_model_feedback_total") == rewards.total()
    assert sum(node.metric("bandit_variant_feedback_total") for node in variants) == told + REQUESTS


def test_feedback_that_is_sent_again_counts_once(executor: Executor, service: Service, experiment: str) -> None:
    prediction = executor.predict()
    first = executor.feedback(prediction.response, 1, prediction.puid)
    before = service.rewards(experiment)
    again = executor.feedback(prediction.response, 1, prediction.puid)
    assert (first["jsonData"]["status"], again["jsonData"]["status"]) == ("applied", "duplicate")
    assert service.rewards(experiment) == before


def test_a_zero_reward_is_counted(executor: Executor, router: Node, service: Service, experiment: str) -> None:
    counted, before = router.metric("bandit_router_rewards_total"), service.rewards(experiment)
    prediction = executor.predict()
    executor.feedback(prediction.response, 0, prediction.puid)
    arm = VARIANTS[prediction.branch]
    assert service.rewards(experiment)[arm] == (before[arm][0], before[arm][1] + 1)
    assert router.metric("bandit_router_rewards_total") == counted + 1


def test_feedback_without_its_prediction_id_rewards_the_arm(
    executor: Executor, router: Node, service: Service, experiment: str
) -> None:
    before = service.rewards(experiment)
    prediction = executor.predict()
    said = executor.feedback(prediction.response, 1)
    arm = VARIANTS[prediction.branch]
    assert said["jsonData"] == {"status": "applied", "fallback": "unknown_puid", "arm": arm, "reward": 1}
    assert service.rewards(experiment)[arm] == (before[arm][0] + 1, before[arm][1])
    assert router.metric("bandit_router_rewards_total", fallback="unknown_puid") == 1


def test_the_id_in_the_message_goes_before_the_header(executor: Executor) -> None:
    message = {"data": {"ndarray": [[1]]}, "meta": {"puid": "of-the-caller"}}
    prediction = executor.predict(message)
    assert prediction.response["meta"]["puid"] == "of-the-caller"
    said = executor.feedback(prediction.response, 1)
    assert said["jsonData"]["fallback"] == "none"


@pytest.mark.parametrize(
    "message",
    [
        {"data": {"names": ["x"], "tensor": {"shape": [1, 1], "values": [1.0]}}},
        {"data": {"ndarray": [["text", 3]]}},
        {"jsonData": {"any": ["thing"]}},
        {"strData": "text"},
        {"binData": "AAEC"},
        {"data": {"ndarray": [[1]]}, "meta": {"tags": {"unit_id": "visitor-17"}}},
    ],
)
def test_every_kind_of_payload_is_routed(executor: Executor, message: dict[str, object]) -> None:
    assert (executor.predict(message)).branch in (0, 1)


# The header may hold what bandit-service would not take as an id.
@pytest.mark.parametrize("puid", ["again", "with/a slash"])
def test_a_repeated_prediction_gets_the_same_child(executor: Executor, puid: str) -> None:
    assert len({executor.predict(puid=puid).branch for _ in range(6)}) == 1


def test_a_feedback_that_belongs_nowhere_is_the_callers_error(executor: Executor) -> None:
    with pytest.raises(NodeError, match="names no child") as raised:
        executor.feedback({}, 1)
    assert raised.value.status == 400


def test_grpc_routes_and_its_feedback_rewards_the_arm(router: Node, service: Service, experiment: str) -> None:
    before = service.rewards(experiment)
    response = {"meta": {"routing": {router.name: 1}}}
    named = {"data": {"ndarray": [[1]]}, "meta": {"puid": "over-grpc"}}
    plain, of_caller, said, again, zero = router.call_over_grpc(
        ("Route", {"data": {"ndarray": [[1]]}}),
        ("Route", named),
        ("SendFeedback", {"response": response, "reward": 1}),
        ("SendFeedback", {"response": response, "reward": 1}),
        ("SendFeedback", {"response": response, "reward": 0}),
    )
    for answer in (plain, of_caller):
        assert answer["data"]["ndarray"] in ([[0.0]], [[1.0]])
    # Nothing tells a retry from a second reward: both count.
    for answer, reward in ((said, 1), (again, 1), (zero, 0)):
        assert answer["jsonData"] == {"status": "applied", "fallback": "no_puid", "arm": "better", "reward": reward}
    assert service.rewards(experiment)["better"] == (before["better"][0] + 2, before["better"][1] + 1)
    assert router.metric("bandit_router_rewards_total", fallback="no_puid") == 3
    # A caller that names the prediction in its messages is known over gRPC too.
    (joined,) = router.call_over_grpc(("SendFeedback", {"request": named, "reward": 1}))
    assert joined["jsonData"]["fallback"] == "none"
