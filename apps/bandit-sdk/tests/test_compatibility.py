"""Answers of a newer service are read, and a decision of one process is rewarded by another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bandit_sdk import Client
from bandit_sdk.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from conftest import NewExperiment, Service


class AddsFields(httpx.BaseTransport):
    """A newer service: every object in its answers has fields unknown to the client, except maps keyed by arm."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        body = json.loads(response.read(), object_hook=self._with_more)
        return httpx.Response(response.status_code, json=body)

    def close(self) -> None:
        self._inner.close()

    def _with_more(self, known: dict[str, Any]) -> dict[str, Any]:
        return known if known.keys() == {"a", "b"} else {**known, "newer": {"more": [1, None]}}


def test_fields_of_a_newer_service_are_ignored(service: Service, new_experiment: NewExperiment) -> None:
    name = new_experiment("a", "b", stopping={"prob_best": 0.99}, reward_model={"type": "binary"})
    with Client(service.url, api_key=service.keys["admin"], transport=AddsFields(), timeout=10.0) as client:
        slate = client.select(name, k=2)
        assert client.reward(slate, reward=1.0).status == "applied"
        [decided, refused] = client.select_batch([{"experiment_id": name}, {"experiment_id": "nowhere"}])
        assert decided.unwrap().propensity is not None
        assert isinstance(refused.error, NotFoundError)
        assert client.activate(client.select(name, defer_activation=True)).status == "activated"
        assert len(client.posterior(name).arms) == 2
        assert client.conclusion(name).conditions
        assert client.allocation(name).summary
        assert client.experiments.get(name).arms
        assert name in [each.experiment_id for each in client.experiments.every()]
        with pytest.raises(InvalidError) as raised:
            client.reward(slate, reward=2.0, position=1)
        assert raised.value.problem is not None
        assert raised.value.problem.errors


OTHER_PROCESS = """
import os, sys
from bandit_sdk import Client

with Client(sys.argv[1], api_key=os.environ["KEY"]) as client:
    print(client.reward(sys.argv[2], reward=1).status)
"""


def test_a_decision_id_is_rewarded_by_another_process(
    service: Service, client: Client, new_experiment: NewExperiment
) -> None:
    name = new_experiment()
    selection = client.select(name)
    assert selection.decision_id is not None
    command = [sys.executable, "-c", OTHER_PROCESS, service.url, selection.decision_id]
    said = subprocess.check_output(command, env={**os.environ, "KEY": service.keys["writer"]}, text=True)
    assert said == "applied\n"
    assert sum(arm.rewards for arm in client.posterior(name).arms) == 1
