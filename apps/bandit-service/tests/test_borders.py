"""How far a request travels: how often control crosses from one file to another, in the files of all apps.

Of several requests the one with the fewest counts, in which nothing else was going on. Before the ledger was rebuilt a
plain /select crossed 82 borders and a plain /reward 75, counted in the same way.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Api, StartApi

_OURS = re.compile(r"/(bandit_(?:core|service|sdk|pipeline|router)/.*)")
TRIES = 40
MOST = {"select": 66, "reward": 84}


@contextmanager
def traced() -> Iterator[list[str]]:
    """Note the file of every call into an app, and of every step of a coroutine of its."""
    files: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (found := _OURS.search(frame.f_code.co_filename)):
            files.append(found[1])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(before)


def route(files: list[str]) -> list[str]:
    """Return the files in the order in which they are entered, each once for as long as control stays in it."""
    return files[:1] + [after for before, after in pairwise(files) if before != after]


async def test_a_plain_request_crosses_few_files(start_api: StartApi, capsys: pytest.CaptureFixture[str]) -> None:
    async with start_api() as api:
        routes = await shortest(api)
    with capsys.disabled():
        for name, files in routes.items():
            sys.stdout.write(f"\n/{name} crosses {len(files) - 1} borders: {' > '.join(files)}\n")
    assert {name: len(files) - 1 for name, files in routes.items() if len(files) - 1 > MOST[name]} == {}


async def shortest(api: Api) -> dict[str, list[str]]:
    """Return the shortest route of a /select and of a /reward."""
    found: dict[str, list[str]] = {}
    experiment = await api.create()
    for _ in range(TRIES):
        decision: dict[str, Any] = {}
        for name in ("select", "reward"):
            body = (
                {"decision_id": decision["decision_id"], "reward": 1} if decision else {"experiment_id": experiment.id}
            )
            with traced() as files:
                response = await api.http.post(f"/{name}", json=body)
            assert response.status_code == 200
            decision = response.json()
            found[name] = min(found.get(name, files), route(files), key=len)
            # What follows in the background is not of this request.
            await asyncio.sleep(0.1)
    return found
