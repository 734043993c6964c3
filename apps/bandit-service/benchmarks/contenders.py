"""Who takes part: the service's fast endpoints and the references they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from benchmarks.contextual import BATCH, Shape
from benchmarks.servers import Server, Stores
from benchmarks.workbench import Workbench

EXPERIMENT: Final = "bench"
NAIVE_SELECT, NAIVE_REWARD = "(a) naive /select", "(a) naive /reward"
EMPTY, BARE = "(b) empty FastAPI endpoint", "(c) bare ASGI endpoint"
SELECT, REWARD, SELECT_BATCH = "/select", "/reward", f"/select/batch of {BATCH}"

_SELECT_BODY: Final = b'{"experiment_id":"bench","unit_id":"visitor-17"}'
_NAIVE_REWARD_BODY: Final = b'{"experiment_id":"bench","arm":"a","reward":1}'


@dataclass(frozen=True, slots=True)
class Contender:
    """One endpoint under load.

    `bodies` returns as many as it is asked for if each may be sent only once, and otherwise a few to be repeated.
    `answers` is how many answers one request stands for, `workbench` what a contender that records events brings.
    """

    name: str
    url: str
    pids: dict[str, int]
    bodies: Callable[[int], Sequence[bytes]]
    repeats: bool = True
    answers: int = 1
    workbench: Workbench | None = None
    experiment_id: str = EXPERIMENT


def references(naive: Server, empty: Server, bare: Server, stores: Stores) -> list[Contender]:
    """Return what the service is compared with."""
    asking = _constantly(_SELECT_BODY)
    naive_pids = {"server": naive.pid, "Redis": stores.redis.pid}
    return [
        Contender(NAIVE_SELECT, f"{naive.url}/select", naive_pids, asking),
        Contender(NAIVE_REWARD, f"{naive.url}/reward", naive_pids, _constantly(_NAIVE_REWARD_BODY)),
        Contender(EMPTY, f"{empty.url}/select", {"server": empty.pid}, asking),
        Contender(BARE, f"{bare.url}/select", {"server": bare.pid}, asking),
    ]


def endpoints(service: Server, workbench: Workbench, stores: Stores) -> list[Contender]:
    """Return the service's own endpoints; every reward is for a decision of its own."""
    pids = {"server": service.pid, **stores.pids}
    batch = msgspec.json.encode({"items": [msgspec.Raw(_SELECT_BODY)] * BATCH})

    def rewards(count: int) -> Sequence[bytes]:
        return [b'{"decision_id":"%s","reward":1}' % each.encode() for each in workbench.issue(EXPERIMENT, count)]

    return [
        Contender(SELECT, f"{service.url}/select", pids, _constantly(_SELECT_BODY), workbench=workbench),
        Contender(REWARD, f"{service.url}/reward", pids, rewards, repeats=False, workbench=workbench),
        Contender(
            SELECT_BATCH,
            f"{service.url}/select/batch",
            pids,
            _constantly(batch),
            answers=BATCH,
            workbench=workbench,
        ),
    ]


def contextual(service: Server, workbench: Workbench, stores: Stores, shapes: Sequence[Shape]) -> list[Contender]:
    """Return decisions in contexts, each experiment of which has to be there."""
    pids = {"server": service.pid, **stores.pids}
    return [
        Contender(
            shape.name,
            f"{service.url}{shape.path}",
            pids,
            _always(shape.bodies()),
            answers=shape.batch,
            workbench=workbench,
            experiment_id=shape.experiment_id,
        )
        for shape in shapes
    ]


def _always(bodies: Sequence[bytes]) -> Callable[[int], Sequence[bytes]]:
    return lambda _: bodies


def _constantly(body: bytes) -> Callable[[int], Sequence[bytes]]:
    return _always((body,))
