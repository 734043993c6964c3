"""Invoice lines from a workbook or a CSV file in the form of Online Retail II, as texts."""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.files import head, refuse_other_formats
from bandit_pipeline.retail import workbook

COLUMNS: Final = ("Invoice", "StockCode", "Description", "Quantity", "Price")
_NAMES: Final = {
    "invoice": "Invoice",
    "invoiceno": "Invoice",  # the first edition of the data set calls them so
    "stockcode": "StockCode",
    "description": "Description",
    "quantity": "Quantity",
    "price": "Price",
    "unitprice": "Price",
}
_SEPARATORS: Final = ",;\t|"
_SNIFFED: Final = 20
_BLOCK: Final = 1 << 20

type Row = list[str]
type Line = list[str | None]
"""What stands in COLUMNS."""

type Places = dict[str, int]
"""Where the columns stand in a row."""


def lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a workbook or CSV file; PipelineError says what is wrong with it.

    Columns are found by the header of their sheet, wherever they stand. The header may stand below a title, and may
    come again in a file that was put together of several. Rows of a sheet that names no column are empty lines.
    """
    first = head(path)
    sheets = workbook.sheets(path) if first.startswith(b"PK") else _csv(path, first)
    for sheet, rows in sheets:
        yield from _sheet_lines(f"{path.name}{f', {sheet},' if sheet else ''}", rows)


def lacks(where: str, named: Iterable[str] = ()) -> str:
    """Say which columns are missing where only some are named."""
    missing = ", ".join(name for name in COLUMNS if name not in named)
    return f"{where} has another schema than Online Retail II: it lacks {missing}."


def _sheet_lines(where: str, rows: Iterable[Row]) -> Iterator[Line]:
    """Yield the columns of a sheet's rows below its header, None for an empty cell."""
    places: Places | None = None
    named: set[str] = set()
    others = 0
    for row in rows:
        if not any(row):
            continue
        # In a line the quantity is a number, so only a row with a text in its place can be a header.
        if places is None or _cell(row, places["Quantity"])[:1].isalpha():
            header = _places(row)
            if len(header) == len(COLUMNS):
                places = header
                continue
            named |= header.keys()
        if places is None:
            others += 1
        else:
            yield [_cell(row, places[name]) or None for name in COLUMNS]
    if places is None:
        if named:
            raise PipelineError(lacks(where, named))
        for _ in range(others):
            yield [None] * len(COLUMNS)


def _places(row: Row) -> Places:
    """Return where a row names columns, however they are spelt."""
    keys = [re.sub(r"[^a-z]", "", cell.lower()) for cell in row]
    return {_NAMES[key]: place for place, key in enumerate(keys) if key in _NAMES}


def _cell(row: Row, place: int) -> str:
    return row[place].strip() if place < len(row) else ""


def _csv(path: Path, first: bytes) -> Iterator[tuple[str, Iterator[Row]]]:
    refuse_other_formats(path.name, first)
    with path.open(encoding=_encoding(path), errors="replace", newline="") as file:
        start = list(islice(file, _SNIFFED))
        separator = max(_SEPARATORS, key=lambda each: _named(_csv_rows(path.name, csv.reader(start, delimiter=each))))
        file.seek(0)
        yield "", _csv_rows(path.name, csv.reader(file, delimiter=separator))


def _named(rows: Iterator[Row]) -> int:
    return max((len(_places(row)) for row in rows), default=0)


def _csv_rows(name: str, rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except csv.Error as error:
        raise PipelineError(f"{name} is no table: {error}.") from error


def _encoding(path: Path) -> str:
    """Return UTF-8 if the whole file is, else what Western tools write otherwise."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"
