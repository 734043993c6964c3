import json

import httpx
import msgspec
import pytest

from bandit_local.experiment import ExperimentState, create, definition, read
from bandit_local.obd import Item
from bandit_local.options import Options
from bandit_sdk import AsyncClient
from bandit_sdk.errors import InvalidError, NotFoundError
from bandit_sdk.results import Conclusion, Posterior
from bandit_sdk.testing import InMemoryService

ITEMS = [Item(3, 201, 3), Item(44, 233, 1)]
POSTERIOR = Posterior(
    experiment_id="obd-women",
    status="concluded",
    weights_version=1,
    leader=None,
    expected_loss=None,
    decisions=0,
    arms=(),
)
CONCLUSION = Conclusion(
    experiment_id="obd-women",
    status="concluded",
    winner="item-3",
    stop=True,
    outcome="winner",
    arm="item-3",
    sentence="P(best) is 97%.",
    progress=1.0,
    conditions=(),
)


class Takes(httpx.AsyncBaseTransport):
    """The service in memory, which takes every stopping rule and forgets it."""

    def __init__(self) -> None:
        self._inner = InMemoryService()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        known = {name: body[name] for name in ("experiment_id", "arms")}
        return self._inner.handle_request(httpx.Request(request.method, request.url, json=known))


def test_the_definition_stops_as_the_options_say_and_moves_fast() -> None:
    options = Options(prob_best=0.9, expected_loss=0.001, min_decisions=700)
    body = definition(ITEMS, options)
    assert body["arms"] == ["item-3", "item-44"]
    assert body["stopping"]["min_decisions"] == 700
    assert body["stopping"]["prob_best"] == 0.9
    assert body["stopping"]["expected_loss"] == 0.001
    assert body["stopping"]["combine"] == "any"
    assert body["update_every"] == 0.1


async def test_an_experiment_of_an_earlier_run_stays_and_the_new_one_is_numbered() -> None:
    async with AsyncClient("http://service", transport=Takes()) as client:
        names = [await create(client, ITEMS, Options()) for _ in range(3)]
    assert names == ["obd-women", "obd-women-2", "obd-women-3"]


async def test_a_refusal_is_told_from_a_conflict() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(422, json={"status": 422, "detail": "arms: too few"}))
    async with AsyncClient("http://service", transport=transport) as client:
        with pytest.raises(InvalidError, match="arms: too few"):
            await create(client, ITEMS, Options())


async def test_an_unknown_experiment_is_refused() -> None:
    async with AsyncClient("http://service", transport=InMemoryService()) as client:
        with pytest.raises(NotFoundError, match="obd-women"):
            await read(client, "obd-women")


def test_the_verdict_is_a_line_that_names_the_winner_when_there_is_one() -> None:
    assert ExperimentState(POSTERIOR, CONCLUSION).verdict() == "Verdict (winner item-3): P(best) is 97%."
    undecided = msgspec.structs.replace(CONCLUSION, winner=None, sentence="undecided: time is up")
    assert ExperimentState(POSTERIOR, undecided).verdict() == "Verdict: undecided: time is up"
