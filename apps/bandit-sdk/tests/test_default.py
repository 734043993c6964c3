"""With a default no error of the service breaks a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bandit_sdk import Client, Retries
from bandit_sdk.errors import InvalidError

if TYPE_CHECKING:
    from conftest import NewExperiment, Service

QUICK = Retries(attempts=3, base=0.001, cap=0.001)


@pytest.mark.parametrize(
    ("status", "headers"), [(401, {}), (404, {}), (422, {}), (302, {"location": "/login"}), (500, {}), (418, {})]
)
def test_it_stands_in_for_every_error(status: int, headers: dict[str, str]) -> None:
    answer = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers))
    with Client("http://service", transport=answer, retries=QUICK) as client:
        assert client.select("homepage", default="a").is_default


def test_unknown_experiment(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    selection = client.select("nowhere", default="a")
    assert (selection.arm, selection.is_default) == ("a", True)
    assert "no experiment 'nowhere'" in selection.reason
    [line] = [record.getMessage() for record in caplog.records if record.name == "bandit_sdk"]
    assert line == f"experiment nowhere: the default arm a is served: {selection.reason}"


def test_wrong_key(service: Service, new_experiment: NewExperiment) -> None:
    with Client(service.url, api_key="bandit_nobody_x") as client:
        selection = client.select(new_experiment(), default="a")
    assert selection.is_default
    assert "(401)" in selection.reason
    assert "bandit_nobody_x" not in selection.reason


def test_wrong_path(service: Service) -> None:
    with Client(f"{service.url}/elsewhere", api_key=service.keys["admin"]) as client:
        assert client.select("homepage", default="a").is_default


@pytest.mark.parametrize("feature", [float("nan"), object()])
def test_context_that_is_no_json(client: Client, feature: Any) -> None:
    assert "context.age" in client.select("x", context={"age": feature}, default="a").reason
    with pytest.raises(InvalidError, match=r"context\.age (must be a finite number|cannot be a object)"):
        client.select("x", context={"age": feature})


def test_reward_for_its_missing_decision_id(client: Client) -> None:
    decision_id = client.select("nowhere", default="a").decision_id
    assert client.reward(decision_id, reward=1).status == "not_sent"
    assert client.activate(decision_id).status == "not_sent"
