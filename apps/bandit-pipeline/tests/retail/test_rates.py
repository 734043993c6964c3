"""Category rates from a file in the form of Online Retail II, as CSV and as a workbook."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape
from zipfile import ZipFile

import polars as pl
import pytest

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.retail.rates import category_rates, read_lines

HEADER = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"]
LINES = [
    ["489434", "85048", "WHITE HANGING HEART T-LIGHT HOLDER", "12", "40148.3", "6.95", "13085", "United Kingdom"],
    ["489434", "79323P", "PINK CHERRY LIGHTS", "12", "40148.3", "6.75", "13085", "United Kingdom"],
    ["489435", "22041", 'RECORD FRAME & 7" HOLDERS ', "48", "40148.3", "2.1", "13085", "United Kingdom"],
    ["489435", "22042", "GLASS HOLDER", "1", "40148.3", "2.1", "13085", "United Kingdom"],
    ["489436", "22350", "CAT BOWL", "1", "40148.3", "1", "", "France"],
    ["C489449", "22087", "PAPER HOLDER", "-12", "40148.4", "2.95", "16321", "Australia"],
    ["489450", "POST", "POSTAGE", "1", "40148.4", "18", "16321", "Australia"],
    ["489451", "22350", "CAT BOWL", "0", "40148.4", "1", "16321", "Australia"],
    ["489452", "22351", "?", "1", "40148.4", "1", "16321", "Australia"],
]


def write_csv(file: Path, rows: Sequence[Sequence[str]]) -> Path:
    pl.DataFrame(rows[1:], schema=list(rows[0]), orient="row").write_csv(file)
    return file


def write_workbook(file: Path, *sheets: Sequence[Sequence[str]]) -> Path:
    """Write a workbook as Excel does: texts shared, empty cells left out."""
    texts = sorted({text for rows in sheets for row in rows for text in row if text and not is_number(text)})
    strings = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with ZipFile(file, "w") as archive:
        archive.writestr("xl/sharedStrings.xml", f"<sst {space}>{strings}</sst>")
        for number, rows in enumerate(sheets, start=1):
            cells = [
                "".join(
                    cell(value, f"{'ABCDEFGH'[column]}{row}", texts) for column, value in enumerate(values) if value
                )
                for row, values in enumerate(rows, start=1)
            ]
            body = "".join(f"<row>{each}</row>" for each in cells)
            archive.writestr(
                f"xl/worksheets/sheet{number}.xml", f"<worksheet {space}><sheetData>{body}</sheetData></worksheet>"
            )
    return file


def cell(value: str, reference: str, texts: list[str]) -> str:
    if is_number(value):
        return f'<c r="{reference}"><v>{value}</v></c>'
    return f'<c r="{reference}" t="s"><v>{texts.index(value)}</v></c>'


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_a_rate_is_the_share_of_invoices_with_something_of_the_category(tmp_path: Path) -> None:
    rates, left_out = category_rates(read_lines(write_csv(tmp_path / "retail.csv", [HEADER, *LINES])), 20)
    assert rates.to_dicts() == [
        {"category": "HOLDER", "invoices": 2, "rate": pytest.approx(2 / 3)},
        {"category": "BOWL", "invoices": 1, "rate": pytest.approx(1 / 3)},
        {"category": "LIGHT", "invoices": 1, "rate": pytest.approx(1 / 3)},
    ]
    assert dict(left_out.iter_rows()) == {
        "cancelled": 1,
        "no product": 1,
        "quantity or price is not positive": 1,
        "no description": 1,
    }


def test_a_workbook_of_two_sheets_gives_the_same(tmp_path: Path) -> None:
    book = read_lines(write_workbook(tmp_path / "retail.xlsx", [HEADER, *LINES[:4]], [HEADER, *LINES[4:]]))
    assert category_rates(book, 20)[0].equals(
        category_rates(read_lines(write_csv(tmp_path / "retail.csv", [HEADER, *LINES])), 20)[0]
    )


def test_the_first_edition_names_its_columns_otherwise(tmp_path: Path) -> None:
    older = ["InvoiceNo", *HEADER[1:5], "UnitPrice", *HEADER[6:]]
    assert len(read_lines(write_csv(tmp_path / "retail.csv", [older, *LINES]))) == len(LINES)


def test_only_the_most_frequent_categories_are_kept(tmp_path: Path) -> None:
    assert len(category_rates(read_lines(write_csv(tmp_path / "retail.csv", [HEADER, *LINES])), 2)[0]) == 2


def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.xlsx").write_bytes(b"PK")
    write_csv(tmp_path / "other.csv", [["a", "b"], ["1", "2"]])
    for name, said in {
        "nowhere.csv": "there is no file",
        "broken.xlsx": r"broken\.xlsx is no whole Excel workbook",
        "other.csv": r"other\.csv has another schema than Online Retail II: it lacks Invoice, StockCode",
    }.items():
        with pytest.raises(PipelineError, match=said):
            read_lines(tmp_path / name)
