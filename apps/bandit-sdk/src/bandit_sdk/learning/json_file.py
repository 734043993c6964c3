"""A store in one JSON file that people can read; every step rewrites it, so it suits small amounts and debugging."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bandit_sdk.learning.memory import Ledger
from bandit_sdk.learning.store import ArmChange, ArmCounts, ArmKey


class JsonLearningStore:
    """Keeps counts in a JSON file, on systems with POSIX file locks.

    Each step holds a lock on a file beside it, and replaces the file as a whole: a reader, or a power cut,
    finds either the old or the new one.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)

    async def initialize(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)

    async def add(self, learner: str, changes: Sequence[ArmChange]) -> list[bool]:
        return await asyncio.to_thread(self._change, learner, lambda ledger: ledger.add(changes))

    async def counts(self, learner: str, state: str | None = None) -> dict[ArmKey, ArmCounts]:
        learners = await asyncio.to_thread(self._read)
        return learners.get(learner, Ledger()).counts(state)

    async def decay(self, learner: str, factor: float, arm: str | None = None, state: str | None = None) -> None:
        await asyncio.to_thread(self._change, learner, lambda ledger: ledger.decay(factor, arm, state))

    async def reset(self, learner: str, arm: str | None = None, state: str | None = None) -> None:
        await asyncio.to_thread(self._change, learner, lambda ledger: ledger.reset(arm, state))

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    def _change[T](self, learner: str, change: Callable[[Ledger], T]) -> T:
        with self._locked():
            learners = self._read()
            result = change(learners.setdefault(learner, Ledger()))
            self._replace({name: _plain(ledger) for name, ledger in sorted(learners.items())})
        return result

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Imported here: the rest of this package also works where the module does not exist.
        import fcntl

        # Not the file itself: a lock on that would go with the file when it is replaced.
        with self._beside(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, Ledger]:
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return {}
        try:
            return {name: _ledger(plain) for name, plain in json.loads(text).items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self._path} is not a file of JsonLearningStore: {error!r}") from None

    def _replace(self, learners: dict[str, Any]) -> None:
        fresh = self._beside(".new")
        with fresh.open("w") as file:
            json.dump(learners, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)


def _plain(ledger: Ledger) -> dict[str, Any]:
    arms = [{**key._asdict(), **asdict(counts)} for key, counts in sorted(ledger.arms.items())]
    return {"arms": arms, "observations": sorted(ledger.observations)}


def _ledger(plain: dict[str, Any]) -> Ledger:
    arms = {ArmKey(row.pop("state"), row.pop("arm")): ArmCounts(**row) for row in plain["arms"]}
    return Ledger(arms, set(plain["observations"]))
