"""Rows of an Excel workbook (.xlsx), read as a stream with the standard library: the file need not fit in memory twice.

Enough for a table of numbers and texts with a header in every sheet; no formulas, no formats. ECMA-376, part 1, 18.3.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final
from xml.etree.ElementTree import Element, ParseError, iterparse
from zipfile import BadZipFile, ZipFile

from bandit_pipeline.errors import PipelineError

_MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_SHEET: Final = re.compile(r"xl/worksheets/sheet\d+\.xml")
_LETTERS: Final = re.compile(r"[A-Z]+")


def rows(path: Path) -> Iterator[list[str]]:
    """Yield the rows of all sheets, one after the other, as texts; an empty cell is "".

    Numbers, and dates among them, stand as the file has them: a date is the number of days since 1899-12-30. Raises
    PipelineError for a file that is no workbook.
    """
    try:
        with ZipFile(path) as archive:
            texts = _shared_texts(archive)
            for name in sorted(filter(_SHEET.fullmatch, archive.namelist())):
                with archive.open(name) as sheet:
                    yield from _sheet_rows(sheet, texts)
    except (BadZipFile, ParseError, KeyError, IndexError) as error:
        raise PipelineError(f"{path.name} is no whole Excel workbook ({error}).") from error


def _shared_texts(archive: ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    with archive.open("xl/sharedStrings.xml") as file:
        return [_text(each) for each in _elements(file, "si")]


def _sheet_rows(sheet: IO[bytes], texts: list[str]) -> Iterator[list[str]]:
    for row in _elements(sheet, "row"):
        values: list[str] = []
        for cell in row.iter(f"{_MAIN}c"):
            column = _column(cell.get("r", ""), len(values))
            values += [""] * (column - len(values)) + [_value(cell, texts)]
        yield values


def _elements(file: IO[bytes], name: str) -> Iterator[Element]:
    for _, element in iterparse(file):  # noqa: S314 - see the import
        if element.tag == _MAIN + name:
            yield element
            element.clear()


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
    if cell.get("t") == "inlineStr":
        return _text(cell)
    value = cell.findtext(f"{_MAIN}v", "")
    return texts[int(value)] if cell.get("t") == "s" else value


def _text(element: Element) -> str:
    return "".join(part.text or "" for part in element.iter(f"{_MAIN}t"))
