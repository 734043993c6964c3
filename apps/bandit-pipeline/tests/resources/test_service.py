"""What the pipeline makes of the service's answers."""

import httpx
import pytest

from bandit_pipeline.resources.service import ServiceClient, ServiceError


def client(*items: dict[str, object]) -> ServiceClient:
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json={"items": items}))
    return ServiceClient(httpx.Client(base_url="http://service", transport=answer))


def test_a_queued_reward_is_no_refusal() -> None:
    items = {"status": 200, "result": {"status": "applied"}}, {"status": 202, "result": {"status": "queued"}}
    assert client(*items).batch("/reward/batch", [{}, {}]) == [{"status": "applied"}, {"status": "queued"}]


def test_a_refused_item_is_an_error() -> None:
    with pytest.raises(ServiceError, match="gone") as raised:
        client({"status": 410, "problem": {"detail": "gone"}}).batch("/reward/batch", [{}])
    assert raised.value.status == 410
