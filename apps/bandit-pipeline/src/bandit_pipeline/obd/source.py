"""Where the Open Bandit Dataset lies: the sample in the obp wheel, a folder, a zip file, or the URL of one."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from zipfile import BadZipFile, ZipFile

import httpx

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.files import check_file, head, local_path
from bandit_sdk.connection import transport_to, without_secrets

ITEMS = "item_context.csv"
_TIMEOUT = 60.0


def log_files(campaign: str) -> tuple[str, str]:
    """Return the names of the two files of a log: its rounds, and what is known of its items."""
    return f"{campaign}.csv", ITEMS


@contextmanager
def opened(source: str, campaign: str, policy: str, file: str) -> Iterator[IO[bytes]]:
    """Lend one file of a log as a stream. An empty `source` is the sample.

    ~ is the home folder. The whole data set has `<policy>/<campaign>/<file>` somewhere below its root, as the sample
    does. Raises PipelineError when there is no such file, or the source cannot be read.
    """
    where, shown = f"{policy}/{campaign}/{file}", without_secrets(source)
    if source.strip().lower().startswith(("http://", "https://")):
        with TemporaryFile() as copy:
            _download(source.strip(), shown, copy)
            with _member(shown, copy, where) as stream:
                yield stream
        return
    root = local_path(source) if source.strip() else _sample()
    if not root.is_dir():
        _check_archive(root, source)
        with root.open("rb") as archive, _member(shown, archive, where) as stream:
            yield stream
        return
    with _only(sorted(root.rglob(where)), where, str(root)).open("rb") as stream:
        yield stream


def _check_archive(path: Path, source: str) -> None:
    """Refuse a path that is neither a folder nor a zip file. The ending of its name does not matter."""
    shown = without_secrets(source)
    if ("://" in source or shown != source) and not path.exists():
        raise PipelineError(f"{shown} is no folder, zip file or http URL; see BANDIT_OBD_SOURCE.")
    check_file(path, "BANDIT_OBD_SOURCE")
    if not head(path).startswith(b"PK"):
        raise PipelineError(f"{path} is neither a folder nor a zip file; see BANDIT_OBD_SOURCE.")


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
            with _unpacked(opened_archive, _only(names, where, source), source) as stream:
                yield stream
    except (BadZipFile, EOFError, zlib.error) as error:
        raise PipelineError(f"{source} is not a whole zip file ({error}).") from error


def _unpacked(archive: ZipFile, name: str, source: str) -> IO[bytes]:
    try:
        return archive.open(name)
    except (NotImplementedError, RuntimeError) as error:  # a way of packing that is not known, or a password
        raise PipelineError(f"{source} cannot be unpacked: {error}.") from error


def _only[T](found: list[T], where: str, source: str) -> T:
    if len(found) != 1:
        raise PipelineError(f"{source} holds {len(found)} files {where}, where one is needed; see BANDIT_OBD_SOURCE.")
    return found[0]


def _download(url: str, shown: str, copy: IO[bytes]) -> None:
    try:
        with (
            httpx.Client(transport=transport_to(httpx.URL(url)), timeout=_TIMEOUT, follow_redirects=True) as client,
            client.stream("GET", url) as response,
        ):
            for block in response.raise_for_status().iter_bytes():
                copy.write(block)
    except httpx.HTTPStatusError as error:
        status = f"{error.response.status_code} {error.response.reason_phrase}"
        raise PipelineError(f"{shown} cannot be downloaded ({status}); see BANDIT_OBD_SOURCE.") from None
    except httpx.InvalidURL:
        raise PipelineError(f"{shown} is no URL; see BANDIT_OBD_SOURCE.") from None
    except ValueError as error:  # a proxy that cannot be used
        raise PipelineError(f"{shown} cannot be downloaded: {error}.") from None
    except httpx.HTTPError as error:
        why = str(error) or type(error).__name__
        raise PipelineError(f"{shown} cannot be downloaded ({why}); see BANDIT_OBD_SOURCE.") from error
    copy.seek(0)
