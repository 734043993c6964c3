"""An application that is loaded before its server forks: it has used its client and its learner by then."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from bandit_sdk import Client
from bandit_sdk.learning import Arm, Learner, LearnerConfig, MemoryLearningStore
from bandit_sdk.requests import SelectItem

ARMS = [Arm(name) for name in "abcdefgh"]
BATCH = 9
DECISIONS = 1 + BATCH
EXPERIMENT = os.environ["PREFORK_EXPERIMENT"]
DRAWS = 32
CLIENT = Client(os.environ["BANDIT_URL"], api_key=os.environ["BANDIT_API_KEY"], timeout=30.0)


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run it in a loop of its own: uvicorn loads applications within a loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


LEARNER = run(Learner.create(LearnerConfig(name="prompts"), store=MemoryLearningStore()))


@dataclass(frozen=True)
class Done:
    """What a process was answered: the ids of its own decisions that came back, and the arms its learner drew."""

    process: int
    foreign: list[str]
    arms: str


def decide(number: int) -> Done:
    """Ask for decisions under ids that only this process and call have, and draw arms."""
    ids = [f"{os.getpid()}-{number}-{each}" for each in range(DECISIONS)]
    items = [SelectItem(experiment_id=EXPERIMENT, decision_id=name) for name in ids[1:]]
    answered = [CLIENT.select(EXPERIMENT, decision_id=ids[0]), *(each.unwrap() for each in CLIENT.select_batch(items))]
    foreign = [str(got.decision_id) for name, got in zip(ids, answered, strict=True) if got.decision_id != name]
    return Done(os.getpid(), foreign, run(drawn()) if number == 0 else "")


async def drawn() -> str:
    results = [await LEARNER.select(ARMS) for _ in range(DRAWS)]
    return "".join(result.selected[0].id for result in results)


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer for a server that forks."""
    done = decide(int(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Type", "application/json"), ("Connection", "close")])
    return [json.dumps(asdict(done)).encode()]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Answer for a server that starts its workers anew."""
    assert scope["type"] == "http"
    await receive()
    done = await asyncio.to_thread(decide, int(scope["query_string"]))
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(asdict(done)).encode()})


# Connections are open and numbers are drawn before anything forks.
CLIENT.select(EXPERIMENT)
run(drawn())
