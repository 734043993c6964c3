"""What a forked process makes for itself, and what it must not use."""

from __future__ import annotations

import os
from collections.abc import Callable

import httpx
import pytest

from bandit_sdk import AsyncClient, Client
from bandit_sdk.errors import UnexpectedAnswerError
from bandit_sdk.processes import OneProcess, PerProcess

# Python warns of every fork in a process that has threads, as that of the tests has.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def in_child(says: Callable[[], str]) -> str:
    """Return what a forked process says."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            said = says()
        except Exception as error:  # noqa: BLE001 (told to the parent)
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(process, 0)
    return said


class TestPerProcess:
    def test_one_value_a_process(self) -> None:
        mine = PerProcess(object)
        assert mine.get() is mine.get()
        assert in_child(lambda: str(mine.get() is mine.get())) == "True"

    def test_a_child_makes_its_own(self) -> None:
        pids = PerProcess(os.getpid)
        assert pids.get() == os.getpid()
        assert in_child(lambda: str(pids.get() == os.getpid())) == "True"

    def test_a_child_does_not_close_what_it_inherits(self) -> None:
        class Inherited:
            def close(self) -> None:
                raise AssertionError("it is the parent's")

        found = PerProcess(Inherited)
        assert in_child(lambda: type(found.get()).__name__) == "Inherited"

    def test_the_first_value_may_be_given(self) -> None:
        numbers = PerProcess(lambda: 2, 1)
        assert numbers.get() == 1
        assert in_child(lambda: str(numbers.get())) == "2"


def test_what_one_process_uses_a_child_must_not() -> None:
    owner = OneProcess()

    def used() -> str:
        owner.use("the pool")
        return "used"

    assert in_child(used) == "used"
    owner.use("the pool")
    owner.use("the pool")
    assert in_child(used) == ("RuntimeError: the pool was open when this process was forked: make one in each process")
    owner.leave()
    assert in_child(used) == "used"


def somebody_elses(_: httpx.Request) -> httpx.Response:
    return httpx.Response(
        200, json={"experiment_id": "homepage", "decision_id": "theirs", "arm": "a", "status": "applied"}
    )


class TestAnotherOnesAnswer:
    """It is refused, whatever has mixed up the connections."""

    def test_to_a_selection(self) -> None:
        with Client("http://service", transport=httpx.MockTransport(somebody_elses)) as client:
            assert client.select("homepage", decision_id="theirs").arm == "a"
            with pytest.raises(UnexpectedAnswerError, match="another decision_id"):
                client.select("homepage", decision_id="mine")
            with pytest.raises(UnexpectedAnswerError, match="another experiment_id"):
                client.select("checkout")
            assert client.select("homepage", decision_id="mine", default="b").arm == "b"

    def test_to_a_reward_and_an_activation(self) -> None:
        with Client("http://service", transport=httpx.MockTransport(somebody_elses)) as client:
            with pytest.raises(UnexpectedAnswerError, match="another decision_id"):
                client.reward("mine", experiment_id="homepage", reward=1.0)
            with pytest.raises(UnexpectedAnswerError, match="another decision_id"):
                client.activate("mine")

    def test_to_a_question_about_an_experiment(self) -> None:
        body = {"experiment_id": "other", "version": 1, "weights": {}, "arms": [], "decisions": 0}
        answer = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
        with Client("http://service", transport=answer) as client, pytest.raises(UnexpectedAnswerError):
            client.allocation("homepage")

    def test_in_a_batch(self) -> None:
        items = [{"status": 200, "result": {"experiment_id": "x", "decision_id": "theirs", "arm": "a"}}]
        answer = httpx.MockTransport(lambda _: httpx.Response(200, json={"items": items}))
        with (
            Client("http://service", transport=answer) as client,
            pytest.raises(UnexpectedAnswerError, match="another decision_id"),
        ):
            client.select_batch([{"experiment_id": "x", "decision_id": "mine"}])

    async def test_to_the_client_that_is_awaited(self) -> None:
        async with AsyncClient("http://service", transport=httpx.MockTransport(somebody_elses)) as client:
            with pytest.raises(UnexpectedAnswerError, match="another decision_id"):
                await client.select("homepage", decision_id="mine")
