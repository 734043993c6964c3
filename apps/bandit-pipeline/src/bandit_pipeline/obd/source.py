"""Where the Open Bandit Dataset lies: the sample in the obp wheel, a folder, a zip file, or the URL of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from zipfile import BadZipFile, ZipFile

import httpx

from bandit_pipeline.errors import PipelineError

ITEMS = "item_context.csv"
_TIMEOUT = 60.0


def log_files(campaign: str) -> tuple[str, str]:
    """Return the names of the two files of a log: its rounds, and what is known of its items."""
    return f"{campaign}.csv", ITEMS


@contextmanager
def opened(source: str, campaign: str, policy: str, file: str) -> Iterator[IO[bytes]]:
    """Lend one file of a log as a stream. An empty `source` is the sample.

    The whole data set has `<policy>/<campaign>/<file>` somewhere below its root, as the sample does. Raises
    PipelineError when there is no such file, or the source cannot be read.
    """
    where = f"{policy}/{campaign}/{file}"
    if source.startswith(("http://", "https://")):
        with TemporaryFile() as copy:
            _download(source, copy)
            with _member(source, copy, where) as stream:
                yield stream
    elif source.endswith(".zip"):
        if not Path(source).is_file():
            raise PipelineError(f"there is no file {source}; see BANDIT_OBD_SOURCE.")
        with Path(source).open("rb") as archive, _member(source, archive, where) as stream:
            yield stream
    else:
        root = Path(source) if source else _sample()
        with _only(sorted(root.rglob(where)), where, str(root)).open("rb") as stream:
            yield stream


def _sample() -> Path:
    """Return the folder of the sample. The package stays unimported: importing it needs torch."""
    try:
        return Path(str(distribution("obp").locate_file("obp/dataset/obd")))
    except PackageNotFoundError:
        raise PipelineError(
            "the Open Bandit sample (package obp) is not installed: install it, or set BANDIT_OBD_SOURCE."
        ) from None


@contextmanager
def _member(source: str, archive: IO[bytes], where: str) -> Iterator[IO[bytes]]:
    try:
        with ZipFile(archive) as opened_archive:
            names = [name for name in opened_archive.namelist() if f"/{name}".endswith(f"/{where}")]
            with opened_archive.open(_only(names, where, source)) as stream:
                yield stream
    except BadZipFile as error:
        raise PipelineError(f"{source} is not a whole zip file ({error}).") from error


def _only[T](found: list[T], where: str, source: str) -> T:
    if len(found) != 1:
        raise PipelineError(f"{source} holds {len(found)} files {where}, where one is needed; see BANDIT_OBD_SOURCE.")
    return found[0]


def _download(url: str, copy: IO[bytes]) -> None:
    try:
        with httpx.stream("GET", url, timeout=_TIMEOUT, follow_redirects=True) as response:
            for block in response.raise_for_status().iter_bytes():
                copy.write(block)
    except httpx.HTTPError as error:
        raise PipelineError(f"{url} cannot be downloaded ({error}); see BANDIT_OBD_SOURCE.") from error
    copy.seek(0)
