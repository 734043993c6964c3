"""What fails behind the router is no failure of the request: the default arm serves, and it is counted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import VARIANTS, StartRouter
from .executor import Executor, NodeError
from .nodes import Node, start_node

if TYPE_CHECKING:
    from conftest import Service

BUDGET = 1.5


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def experiment(service_process: Service) -> str:
    return service_process.create(*VARIANTS, policy={"name": "fixed", "params": {"weights": {"worse": 1}}})


@pytest.fixture(scope="module")
def router(start_router: StartRouter, experiment: str) -> Iterator[Node]:
    with start_router(experiment, timeout=BUDGET) as node:
        yield node


@pytest.fixture
def executor(router: Node, variants: list[Node]) -> Executor:
    return Executor(router, variants)


def test_a_service_that_hangs_costs_the_budget_and_the_reward_goes_to_who_served(
    executor: Executor, router: Node, service: Service, experiment: str
) -> None:
    before = router.metric("bandit_router_default_arm_total", reason="unavailable")
    assert service.process is not None
    with frozen(service.process.pid):
        began = time.monotonic()
        prediction = executor.predict()
        assert BUDGET <= time.monotonic() - began < 4 * BUDGET
    assert prediction.branch == 1
    assert router.metric("bandit_router_default_arm_total", reason="unavailable") == before + 1
    # The service may have decided for the other arm once it woke up; it was not served.
    said = executor.feedback(prediction.response, 1, prediction.puid)
    assert said["jsonData"]["arm"] == "better"
    assert said["jsonData"]["fallback"] in ("unknown_puid", "other_arm")
    assert service.rewards(experiment) == {"worse": (0, 0), "better": (1, 0)}


def test_while_the_service_is_away_the_default_arm_serves(
    executor: Executor,
    router: Node,
    start_router: StartRouter,
    variants: list[Node],
    service: Service,
    experiment: str,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    before = router.metric("bandit_router_default_arm_total", reason="unavailable")
    rewards = service.rewards(experiment)
    service.kill()
    predictions = [executor.predict() for _ in range(5)]
    assert [prediction.branch for prediction in predictions] == [1] * 5
    assert router.metric("bandit_router_default_arm_total", reason="unavailable") == before + 5
    prediction = predictions[0]
    with pytest.raises(NodeError, match="did not answer") as raised:
        executor.feedback(prediction.response, 1, prediction.puid)
    assert raised.value.status == 503

    with start_router(experiment) as started_meanwhile:
        newcomer = Executor(started_meanwhile, variants)
        assert newcomer.predict().branch == 1
        service.start()
        # A process that has only just started may need longer than the budget on a busy machine.
        eventually(lambda: newcomer.predict().branch == 0)
        eventually(lambda: executor.predict().branch == 0)
        said = [each.feedback(prediction.response, 1, prediction.puid) for each in (newcomer, executor)]
    assert [each["jsonData"]["status"] for each in said] == ["applied", "duplicate"]
    assert said[0]["jsonData"]["fallback"] == "unknown_puid"
    assert service.rewards(experiment)["better"] == (rewards["better"][0] + 1, rewards["better"][1])


@pytest.fixture(scope="module")
def misfit(start_router: StartRouter, service_process: Service) -> Iterator[Node]:
    """A router with a child too few, for an experiment that always serves the arm it has no child for."""
    policy = {"name": "fixed", "params": {"weights": {"third": 1}}}
    with start_router(service_process.create(*VARIANTS, "third", policy=policy), sends_context=True) as node:
        yield node


def test_an_arm_that_has_no_child_is_never_named(misfit: Node, variants: list[Node]) -> None:
    executor = Executor(misfit, variants)
    prediction = executor.predict({"strData": "nothing that has a name"})
    assert prediction.branch == 1
    assert misfit.metric("bandit_router_default_arm_total", reason="out_of_range") == 1
    said = executor.feedback(prediction.response, 1, prediction.puid)
    assert said["jsonData"] == {"status": "applied", "fallback": "other_arm", "arm": "better", "reward": 1}


def test_a_context_is_sent_where_it_is_asked_for(
    start_router: StartRouter, service_process: Service, variants: list[Node]
) -> None:
    """A linear policy cannot decide without: it is refused, and the default arm serves."""
    experiment = service_process.create(*VARIANTS, policy={"name": "linear_thompson"}, context={"features": ["age"]})
    for sends_context, refused in ((True, 0), (False, 1)):
        with start_router(experiment, sends_context=sends_context) as router:
            Executor(router, variants).predict({"data": {"names": ["age"], "ndarray": [[0.31]]}})
            assert router.metric("bandit_router_default_arm_total", reason="refused") == refused


@pytest.mark.parametrize(
    ("changes", "api_key", "said"),
    [
        ({"service_url": "http://u:S3cretPart/x@h:port"}, "", "parameter service_url: url must name a scheme"),
        ({"branches": 0}, "", "parameter branches must be"),
        ({"colour": "red"}, "", "unexpected keyword argument 'colour'"),
        ({}, "S3cretPart and more", "api_key must be printable ASCII"),
    ],
    ids=["url", "number", "unknown", "key"],
)
def test_wrong_settings_end_the_start(changes: dict[str, object], api_key: str, said: str, tmp_path: Path) -> None:
    parameters = {"experiment_id": "x", "service_url": "http://127.0.0.1:9", "branches": 2} | changes
    node = start_node("r", "bandit_router.router.BanditRouter", "ROUTER", parameters, tmp_path / "r", api_key=api_key)
    assert node.process.wait(60) == 1
    log = node.process.log_tail()
    assert node.process.last_words().startswith("bandit-router: ")
    assert said in node.process.last_words()
    assert "S3cretPart" not in log
    assert "Traceback" not in log
