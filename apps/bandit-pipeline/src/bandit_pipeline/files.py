"""Files that people give: where they lie, and what they are where they are not what was asked for."""

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from bandit_pipeline.errors import PipelineError

_HEAD: Final = 512

_OTHER_FORMATS: Final = {
    b"\x1f\x8b": "is compressed with gzip: unpack it",
    b"BZh": "is compressed with bzip2: unpack it",
    b"\xfd7zXZ\x00": "is compressed with xz: unpack it",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd: unpack it",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive: unpack it",
    b"PK\x03\x04": "is a zip file: unpack it",
    b"PAR1": "is a Parquet file, not CSV",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "is an old Excel workbook (.xls) or one with a password: save it as .xlsx",
    b"%PDF": "is a PDF",
    b"\xff\xfe": "is UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text: save it as UTF-8",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself: fetch that with `git lfs pull`",
}
_PAGES: Final = (b"<!doctype", b"<html", b"<?xml", b"<head")


def local_path(given: str) -> Path:
    """Return the path of a file or folder: ~ is the home folder, and a file:// URL is its path."""
    text = given.strip()
    if text.lower().startswith("file://"):
        text = unquote(urlsplit(text).path)
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise PipelineError(f"{given} cannot be found: {error}.") from error


def check_file(path: Path, setting: str) -> None:
    """Raise PipelineError, naming the setting, unless the path is a file that can be read and holds something."""
    if path.is_dir():
        raise PipelineError(f"{path} is a folder: name the file in it; see {setting}.")
    if not path.is_file():
        raise PipelineError(f"there is no file {path}; see {setting}.")
    try:
        empty = not head(path)
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}; see {setting}.") from error
    if empty:
        raise PipelineError(f"{path.name} is empty.")


def head(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(_HEAD)


def refuse_other_formats(name: str, first: bytes) -> None:
    """Raise PipelineError, saying what it is, for a file that is no plain text by its first bytes."""
    for mark, what in _OTHER_FORMATS.items():
        if first.startswith(mark):
            raise PipelineError(f"{name} {what}.")
    if first.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(_PAGES):
        raise PipelineError(f"{name} is a web page or XML, not CSV: it may be the answer to a failed download.")
    if b"\x00" in first:
        raise PipelineError(f"{name} is no text.")
