"""The folder that old rows are exported to: gzipped CSV, which everything reads and needs no library."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

# Four times smaller than the text at the price of little time; the next levels cost much and gain little.
_LEVEL = 3


class FolderArchive:
    """Files named `<name>.csv.gz`, readable by their owner alone, complete or not there at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        """Open a new file; one of that name is replaced once this one is complete."""
        draft, final = self._folder / f".{name}.csv.gz.part", self._folder / f"{name}.csv.gz"
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as raw:
                with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=_LEVEL) as packed:
                    yield cast("IO[bytes]", packed)
                raw.flush()
                os.fsync(raw.fileno())
            draft.replace(final)
            _sync(self._folder)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _sync(folder: Path) -> None:
    """Have the folder's entry survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
