"""Writes the measured tables into a document, between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.table import Table

BEGIN: Final = "<!-- measured: written by {} -->"
END: Final = "<!-- end of measured -->"


def write_into(document: Path, tables: Sequence[Table], heading: str, writer: str = "make bench") -> None:
    """Replace what stands between the marks of a writer.

    Raises:
        ValueError: the document does not have both marks once, in order.
    """
    mark = BEGIN.format(writer)
    before, begin, rest = document.read_text().partition(mark)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} needs the lines {mark} and {END}; the tables go between them")
    measured = "\n\n".join((heading, *(table.markdown() for table in tables)))
    document.write_text(f"{before}{mark}\n\n{measured}\n\n{END}{after}")
