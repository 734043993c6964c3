"""What the long simulations share: worker processes, and a place for the tables and pictures of the documents."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import pytest

type Table = Sequence[Sequence[str]]


class Record(Protocol):
    def __call__(self, table: str, *, part: int, of: int, columns: Sequence[str], rows: Table) -> None: ...


@pytest.fixture(scope="session")
def workers() -> Iterator[ProcessPoolExecutor]:
    """One process per core; what has not begun when the tests end, or are interrupted, never does."""
    pool = ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"))
    yield pool
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def results(pytestconfig: pytest.Config) -> Path:
    """Where `write_tables.py` finds what was measured: tables, and pictures as SVG."""
    folder = pytestconfig.rootpath / ".local" / "verify"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def record(results: Path) -> Record:
    """Keep the rows a test has measured, for `write_tables.py`; a table is complete with all its parts."""

    def write(table: str, *, part: int, of: int, columns: Sequence[str], rows: Table) -> None:
        content = {"table": table, "part": part, "of": of, "columns": columns, "rows": rows}
        (results / f"{table}-{part}.json").write_text(json.dumps(content, indent=1) + "\n")

    return write
