import dataclasses

import httpx
import pytest

from bandit_local.errors import LocalError
from bandit_local.experiment import ArmState, ExperimentState, UnavailableError, create, definition, read
from bandit_local.obd import Item
from bandit_local.options import Options

ITEMS = [Item(3, 201, 3), Item(44, 233, 1)]
ARM = ArmState("item-3", 4_000, 4_000, 60.0, 0.015, 0.012, 0.019, 0.97, 0.8)
STATE = ExperimentState((ARM,), "item-3", 0.0001, 1.0, concluded=True, winner="item-3", sentence="P(best) is 97%.")


def service(answer: httpx.Response | Exception, taken: frozenset[str] = frozenset()) -> httpx.AsyncClient:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        known = any(f'"{name}"' in request.content.decode() for name in taken)
        return httpx.Response(409, json={"detail": "it exists"}) if known else answer

    return httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://service")


def test_the_definition_stops_as_the_options_say_and_moves_fast() -> None:
    options = Options(prob_best=0.9, expected_loss=0.001, min_decisions=700)
    body = definition("obd-women", ITEMS, options)
    assert body["arms"] == ["item-3", "item-44"]
    assert body["stopping"]["min_decisions"] == 700
    assert body["stopping"]["prob_best"] == 0.9
    assert body["stopping"]["expected_loss"] == 0.001
    assert body["stopping"]["combine"] == "any"
    assert body["update_every"] == 0.1


async def test_an_experiment_of_an_earlier_run_stays_and_the_new_one_is_numbered() -> None:
    async with service(httpx.Response(201), frozenset({"obd-women", "obd-women-2"})) as client:
        assert await create(client, ITEMS, Options()) == "obd-women-3"


async def test_a_refused_definition_ends_the_run_with_what_the_problem_says() -> None:
    async with service(httpx.Response(422, json={"detail": "arms: too few"})) as client:
        with pytest.raises(LocalError, match="refused the experiment: arms: too few"):
            await create(client, ITEMS, Options())


@pytest.mark.parametrize("answer", [httpx.Response(503, json={"detail": "store away"}), httpx.ConnectError("refused")])
async def test_a_passing_failure_is_told_from_a_lasting_one(answer: httpx.Response | Exception) -> None:
    async with service(answer) as client:
        with pytest.raises(UnavailableError):
            await read(client, "obd-women")
    async with service(httpx.Response(404, json={"detail": "unknown"})) as client:
        with pytest.raises(LocalError, match="404") as failure:
            await read(client, "obd-women")
    assert not isinstance(failure.value, UnavailableError)


def test_the_verdict_is_a_line_that_names_the_winner_when_there_is_one() -> None:
    assert STATE.verdict() == "Verdict (winner item-3): P(best) is 97%."
    undecided = dataclasses.replace(STATE, winner=None, sentence="undecided: time is up")
    assert undecided.verdict() == "Verdict: undecided: time is up"
