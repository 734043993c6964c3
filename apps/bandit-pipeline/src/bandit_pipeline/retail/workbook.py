"""Rows of an Excel workbook (.xlsx), read as a stream with the standard library: the file need not fit in memory twice.

Enough for tables of numbers and texts; no formulas, no formats. ECMA-376, part 1, 18.3, transitional and strict: the
two differ in the namespace of the elements, which is not looked at.
"""

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final
from xml.etree.ElementTree import Element, ParseError, iterparse
from zipfile import BadZipFile, ZipFile

from bandit_pipeline.errors import PipelineError

_SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml", re.IGNORECASE)
_TEXTS: Final = "xl/sharedstrings.xml"
_LETTERS: Final = re.compile(r"[A-Z]+")
_OTHERS: Final = {
    "xl/workbook.bin": "is a binary Excel workbook (.xlsb): save it as .xlsx",
    "content.xml": "is an OpenDocument file: save it as .xlsx",
}


def sheets(path: Path) -> Iterator[tuple[str, Iterator[list[str]]]]:
    """Yield the name of the part and the rows, as texts, of each sheet; an empty cell is "".

    Numbers, and dates among them, stand as the file has them: a date is the number of days since 1899-12-30. Raises
    PipelineError for a file that is no workbook.
    """
    with _explained(path), ZipFile(path) as archive:
        names = archive.namelist()
        found = sorted(filter(_SHEET.fullmatch, names), key=_natural)
        if not found:
            raise PipelineError(f"{path.name} {_other_kind(names)}.")
        texts = _shared_texts(archive)
        for name in found:
            with archive.open(name) as sheet:
                yield name.rpartition("/")[2], _sheet_rows(path, sheet, texts)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say of a file that cannot be read to its end that it is no workbook."""
    try:
        yield
    except (BadZipFile, ParseError, LookupError, ValueError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path.name} is no whole Excel workbook ({error}).") from error
    except NotImplementedError as error:
        raise PipelineError(f"{path.name} cannot be unpacked: {error}.") from error


def _natural(name: str) -> list[tuple[int, str]]:
    """Order sheet10.xml after sheet9.xml."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _other_kind(names: list[str]) -> str:
    for part, what in _OTHERS.items():
        if part in names:
            return what
    holds = ", ".join(name for name in names[:3] if not name.endswith("/"))
    return f"is a zip file without sheets of a workbook; it holds {holds or 'nothing'}: unpack it"


def _shared_texts(archive: ZipFile) -> list[str]:
    part = next((name for name in archive.namelist() if name.lower() == _TEXTS), None)
    if part is None or not archive.getinfo(part).file_size:
        return []
    with archive.open(part) as file:
        return [_text(each) for each in _elements(file, "si")]


def _sheet_rows(path: Path, sheet: IO[bytes], texts: list[str]) -> Iterator[list[str]]:
    with _explained(path):
        for row in _elements(sheet, "row"):
            values: list[str] = []
            for cell in row:
                if _name(cell) == "c":
                    column = _column(cell.get("r", ""), len(values))
                    values += [""] * (column - len(values)) + [_value(cell, texts)]
            yield values


def _elements(file: IO[bytes], name: str) -> Iterator[Element]:
    for _, element in iterparse(file):  # noqa: S314 - see the import # nosec B314
        if _name(element) == name:
            yield element
            element.clear()


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _column(reference: str, otherwise: int) -> int:
    """Return the number, from 0, of the column that a reference such as AB12 names."""
    letters = _LETTERS.match(reference)
    if letters is None:
        return otherwise
    number = 0
    for letter in letters[0]:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _value(cell: Element, texts: list[str]) -> str:
    """Return what a cell shows; nothing for a reference to no text, and for an error such as #N/A."""
    kind = cell.get("t")
    if kind == "inlineStr":
        return _text(cell)
    value = next((part.text or "" for part in cell if _name(part) == "v"), "")
    if kind == "s":
        return texts[int(value)] if value.strip() else ""
    return "" if kind == "e" else value


def _text(element: Element) -> str:
    """Put the runs of a text together, without how it is pronounced (rPh)."""
    if _name(element) == "t":
        return element.text or ""
    return "".join(_text(part) for part in element if _name(part) != "rPh")
