"""Decisions with their rewards as Parquet files, one for each campaign, for evaluating policies offline."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bandit_core.rules.experiment import DEFAULT_NAMESPACE, MICRO, Experiment
from bandit_core.rules.problems import Unavailable
from bandit_service.domain.api_key import ALL_NAMESPACES, Principal
from bandit_service.ledger.interactions import Interaction, Interactions
from bandit_service.ledger.producers import Producers

if TYPE_CHECKING:
    import polars as pl

# So many rows are held at once; more make another file.
ROWS_PER_FILE: Final = 1_000_000
_FLUSH_SECONDS = 5.0
_CHECK_EVERY = 0.05
_SUFFIX = ".parquet"
# No name holds it.
_NUMBERED: Final = "@"


class Exports:
    """Writes and lists the files in a folder: `NAME.parquet`, below the namespace unless that is the default one.

    A campaign of more than a million rows goes on in `NAME--2.parquet` and so on. A file is whole or not there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        interactions: Interactions,
        producers: Producers,
        clock: Callable[[], float],
        rows_per_file: int = ROWS_PER_FILE,
    ) -> None:
        self._folder = folder
        self._interactions = interactions
        self._producers = producers
        self._clock = clock
        self._rows_per_file = rows_per_file
        self._turn = asyncio.Lock()
        self._waiting: dict[str, asyncio.Task[int]] = {}

    async def write(self, namespace: str, find: Callable[[], Awaitable[dict[str, Experiment]]]) -> int:
        """Write the files of the campaigns that `find` returns by name; return how many rows there are.

        A request that comes while a writing waits for its turn shares it: a client that asks again makes no work.

        Raises:
            Unavailable: events are still on their way to Postgres, or the folder cannot be written.
        """
        waiting = self._waiting.get(namespace)
        if waiting is None:
            waiting = self._waiting[namespace] = asyncio.create_task(self._in_turn(namespace, find))
        return await asyncio.shield(waiting)

    def folder(self, principal: Principal) -> Path:
        """Return where a caller's files are."""
        if principal.namespace in (ALL_NAMESPACES, DEFAULT_NAMESPACE):
            return self._folder
        return self._folder / principal.namespace

    def files(self, principal: Principal) -> dict[str, list[str]]:
        """Return the files that a caller may know of, by campaign and in order, as paths below their folder."""
        folder = self.folder(principal)
        depth = ("*", "*/*") if principal.namespace == ALL_NAMESPACES else ("*",)
        found: dict[str, list[tuple[int, str]]] = {}
        for path in (each for pattern in depth for each in folder.glob(pattern + _SUFFIX)):
            parent = path.parent.relative_to(folder)
            name, _, number = path.name.removesuffix(_SUFFIX).partition(_NUMBERED)
            campaign = name if parent == Path() else f"{parent}.{name}"
            found.setdefault(campaign, []).append((int(number or 1), str(parent / path.name)))
        return {campaign: [name for _, name in sorted(files)] for campaign, files in sorted(found.items())}

    async def _in_turn(self, namespace: str, find: Callable[[], Awaitable[dict[str, Experiment]]]) -> int:
        async with self._turn:
            # From here on what is acknowledged may be missed: who asks now gets another turn.
            del self._waiting[namespace]
            campaigns = await find()
            return sum([await self._write(name, each) for name, each in campaigns.items()])

    async def _write(self, campaign: str, experiment: Experiment) -> int:
        await self._flushed(experiment.id)
        folder = self._folder
        if experiment.namespace != DEFAULT_NAMESPACE:
            folder, campaign = folder / experiment.namespace, campaign.removeprefix(f"{experiment.namespace}.")
        rows, files = 0, 0
        try:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            rest = await asyncio.to_thread(_frame, experiment, [])
            async for page in self._interactions.of(experiment.id):
                frame = await asyncio.to_thread(_frame, experiment, page)
                rows += len(frame)
                rest = rest.vstack(frame)
                while len(rest) >= self._rows_per_file:
                    files += 1
                    path = folder / _file_name(campaign, files)
                    await asyncio.to_thread(_replace, path, rest.head(self._rows_per_file))
                    rest = rest.slice(self._rows_per_file)
            if len(rest) or not files:
                files += 1
                await asyncio.to_thread(_replace, folder / _file_name(campaign, files), rest)
            for path in _after(folder, campaign, files):
                path.unlink()
        except OSError as error:
            raise Unavailable(
                f"the folder for exports (BANDIT_EXPORT_DIR) cannot be written: {error.strerror}"
            ) from None
        return rows

    async def _flushed(self, experiment_id: str) -> None:
        """Wait until Postgres has what was acknowledged before."""
        until_ms = round(self._clock() * 1_000)
        deadline = asyncio.get_running_loop().time() + _FLUSH_SECONDS
        while not await self._producers.have_written(until_ms, experiment_id):
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable("events are still on their way to Postgres; try again", retry_after=1)
            await asyncio.sleep(_CHECK_EVERY)


def _frame(experiment: Experiment, page: Sequence[Interaction]) -> pl.DataFrame:
    # Imported late: most processes never write a file.
    import polars as pl

    # An arm that joined since the experiment was read is in the next export.
    page = [each for each in page if each.arm_index < len(experiment.arms)]
    intercept = experiment.context is not None and experiment.context.intercept
    features = {
        f"feature_{place}": pl.Series([float(each.context[place]) for each in page], dtype=pl.Float64)
        for place in range(experiment.dimension - intercept)
    }
    return pl.DataFrame(
        {
            "interaction_id": pl.Series([each.decision_id for each in page], dtype=pl.String),
            "arm_id": pl.Series([experiment.arms[each.arm_index].id for each in page], dtype=pl.String),
            "reward": pl.Series([each.reward_micro / MICRO for each in page], dtype=pl.Float64),
            # Whole seconds since the epoch, as BanditDB writes them.
            "predicted_at": pl.Series([int(each.decided_at) for each in page], dtype=pl.Int64),
            "rewarded_at": pl.Series([int(each.rewarded_at) for each in page], dtype=pl.Int64),
            "propensity": pl.Series([each.propensity for each in page], dtype=pl.Float64),
            **features,
        }
    )


def _replace(path: Path, frame: pl.DataFrame) -> None:
    """Write a file under another name, then give it its own: readers see the old one or the new one."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with unfinished.open("wb") as file:
            frame.write_parquet(file, compression="snappy")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _file_name(campaign: str, number: int) -> str:
    return f"{campaign}{_SUFFIX}" if number == 1 else f"{campaign}{_NUMBERED}{number}{_SUFFIX}"


def _after(folder: Path, campaign: str, number: int) -> Iterator[Path]:
    """Yield the files of an earlier and longer export."""
    while (path := folder / _file_name(campaign, number := number + 1)).exists():
        yield path
