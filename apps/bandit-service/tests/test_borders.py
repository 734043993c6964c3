"""How far a request travels: which files of all apps it enters, and how often control crosses from one to another.

Of several requests the one with the fewest counts, in which nothing else was going on. Before the ledger was rebuilt a
plain /select crossed 82 borders and a plain /reward 75, counted in the same way.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Api, StartApi

_OURS = re.compile(r"/(bandit_(?:core|service|sdk|pipeline|router)/.*)")
APPS = Path(__file__).parents[2]
PAGE = APPS.parent / "docs" / "architecture.md"
TRIES = 25
MOST = {"select": 59, "reward": 74}


def walks() -> dict[str, list[str]]:
    """Return the files of each walk in docs/architecture.md."""
    section = re.split(r"^#+ ", PAGE.read_text(), flags=re.MULTILINE)
    [text] = [part for part in section if part.startswith("Three walks")]
    found = re.findall(r"^    (\S.*)\n((?:      .*\n)+)", text, re.MULTILINE)
    return {name: re.findall(r"^      (\S+)", lines, re.MULTILINE) for name, lines in found}


@contextmanager
def traced() -> Iterator[list[str]]:
    """Note the file of every call into an app, and of every step of a coroutine of its, in all threads."""
    files: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (found := _OURS.search(frame.f_code.co_filename)):
            files.append(found[1])

    before = sys.getprofile()
    threading.setprofile_all_threads(note)
    try:
        yield files
    finally:
        threading.setprofile_all_threads(None)
        sys.setprofile(before)


def route(files: list[str]) -> list[str]:
    """Return the files in the order in which they are entered, each once for as long as control stays in it."""
    return files[:1] + [after for before, after in pairwise(files) if before != after]


def missing(walk: Sequence[str], files: Iterable[str]) -> str | None:
    """Return the first file of a walk that is not entered after those before it; None if all are."""
    entered = iter(files)
    return next((file for file in walk if file not in entered), None)


def test_the_walks_are_of_files_that_exist() -> None:
    assert list(walks()) == ["POST /select", "POST /reward", "A change of weights"]
    for file in {file for walk in walks().values() for file in walk}:
        assert list(APPS.glob(f"*/src/{file}")), file


async def test_a_plain_request_crosses_few_files(start_api: StartApi, capsys: pytest.CaptureFixture[str]) -> None:
    async with start_api() as api:
        routes = await shortest(api)
    with capsys.disabled():
        for name, files in routes.items():
            sys.stdout.write(f"\n/{name} crosses {len(files) - 1} borders: {' > '.join(files)}\n")
    assert {name: missing(walks()[f"POST /{name}"], files) for name, files in routes.items()} == dict.fromkeys(routes)
    assert {name: len(files) - 1 for name, files in routes.items() if len(files) - 1 > MOST[name]} == {}


async def test_a_change_of_weights_walks_as_told(start_api: StartApi) -> None:
    walk = walks()["A change of weights"]
    async with start_api() as api:
        experiment = await api.create()
        decisions = await experiment.select_many(20)
        with traced() as files:
            for decision in decisions:
                await experiment.reward(decision, float(decision["arm"] == "a"))
            deadline = time.monotonic() + 20.0
            while missing(walk, files) is not None and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
    assert missing(walk, files) is None


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
