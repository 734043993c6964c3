"""A sampling profiler for one thread: where processor time goes, at the price of one signal every few milliseconds."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

_EVERY_SECONDS: Final = 0.002
type _Rules = tuple[tuple[str, tuple[str, ...]], ...]

_ANYWHERE: Final[_Rules] = (
    ("events into the spool", ("spool/recorder.py:_spool_turn",)),
    ("rewards into Postgres", ("spool/recorder.py:_ask_turn",)),
    ("decisions into Postgres", ("spool/recorder.py:_pending_turn",)),
    ("heartbeats", ("spool/keeper.py:",)),
    ("leases, weights and memory kept fresh", ("background.py:",)),
)
_INNERMOST: Final[_Rules] = (
    (
        "deciding and signing",
        ("bandit_service/api/decisions/", "bandit_service/domain/", "bandit_service/serving/", "bandit_core/"),
    ),
    ("rewards", ("bandit_service/api/rewards/",)),
    ("handing over to the recorder", ("bandit_service/spool/", "bandit_service/ledger/", "bandit_service/mirror/")),
    ("metrics", ("bandit_service/metrics.py", "prometheus_client/")),
    (
        "request id, log and body limit",
        ("bandit_service/http/application.py", "structlog/"),
    ),
    ("the endpoint: body, decoding, encoding", ("bandit_service/http/fast_path.py", "starlette/requests.py")),
    ("framework: middleware, routing, response", ("fastapi/", "starlette/")),
    ("HTTP server", ("uvicorn/",)),
)
ELSEWHERE: Final = "event loop and the rest"


@dataclass(slots=True)
class Sampler:
    """Counts, for each tick of processor time, what the main thread was at. It must be started there."""

    groups: Counter[str] = field(default_factory=Counter)
    functions: Counter[str] = field(default_factory=Counter)

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._take)
        signal.setitimer(signal.ITIMER_PROF, _EVERY_SECONDS, _EVERY_SECONDS)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)

    def _take(self, _: int, frame: FrameType | None) -> None:
        places = []
        while frame is not None:
            places.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
            frame = frame.f_back
        self.groups[group_of(places)] += 1
        self.functions[_short(places[0])] += 1


def group_of(places: list[str]) -> str:
    """Return what a call stack is about; its places are `file:function`, innermost first."""
    for name, marks in _ANYWHERE:
        if any(mark in place for place in places for mark in marks):
            return name
    for place in places:
        for name, marks in _INNERMOST:
            if any(mark in place for mark in marks):
                return name
    return ELSEWHERE


def _short(place: str) -> str:
    return "/".join(place.split("/")[-2:])
