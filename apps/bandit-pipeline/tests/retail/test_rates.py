"""Category rates from a file in the form of Online Retail II, as CSV and as a workbook."""

import gzip
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


TRANSITIONAL = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"


def write_workbook(
    file: Path, *sheets: Sequence[Sequence[str]], namespace: str = TRANSITIONAL, part: str = "sheet{}", more: str = ""
) -> Path:
    """Write a workbook as Excel does: texts shared, empty cells left out; `more` are rows as XML."""
    texts = sorted({text for rows in sheets for row in rows for text in row if text and not is_number(text)})
    strings = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
    space = f'xmlns="{namespace}"'
    with ZipFile(file, "w") as archive:
        archive.writestr("xl/sharedStrings.xml", f"<sst {space}>{strings}</sst>")
        for number, rows in enumerate(sheets, start=1):
            cells = [
                "".join(
                    cell(value, f"{'ABCDEFGHI'[column]}{row}", texts) for column, value in enumerate(values) if value
                )
                for row, values in enumerate(rows, start=1)
            ]
            body = "".join(f"<row>{each}</row>" for each in cells) + more
            archive.writestr(
                f"xl/worksheets/{part.format(number)}.xml",
                f"<worksheet {space}><sheetData>{body}</sheetData></worksheet>",
            )
    return file


def product(invoice: int, description: str, price: str = "1.5") -> list[str]:
    return [str(invoice), "10001", description, "2", "40150.5", price, "12001", "UK"]


CHAIRS = [product(number, "BLUE CHAIR") for number in (4, 5, 6)]
THREE = [product(1, "TIN LANTERN"), product(2, "TIN LANTERN"), product(3, "RED BAG")]


def shares(file: Path) -> dict[str, float]:
    rates, _ = category_rates(read_lines(file), 20)
    return dict(rates.select("category", "rate").iter_rows())


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


def test_every_sheet_has_its_own_columns(tmp_path: Path) -> None:
    """The second sheet's chairs were read by the first one's order: 1 of 4 invoices instead of 3 of 6."""
    turned = [[row[1], row[0], *row[2:]] for row in [HEADER, *CHAIRS]]
    wider = [["", *row] for row in [HEADER, *CHAIRS]]
    titled = [["Sales of the year"], [], HEADER, *CHAIRS]
    spelt = [["invoice no", "Stock Code", " DESCRIPTION ", "quantity", "Date", "Unit Price"], *CHAIRS]
    expected = {"CHAIR": 3 / 6, "LANTERN": 2 / 6, "BAG": 1 / 6}
    for number, second in enumerate((turned, wider, titled, spelt)):
        book = write_workbook(tmp_path / f"{number}.xlsx", [HEADER, *THREE], second)
        assert shares(book) == pytest.approx(expected)
        together = tmp_path / f"{number}.csv"
        together.write_text("\n".join(",".join(row) for row in [HEADER, *THREE, *second]))
        assert shares(together) == pytest.approx(expected)


def test_a_sheet_of_something_else_is_counted_and_left_out(tmp_path: Path) -> None:
    book = write_workbook(
        tmp_path / "retail.xlsx", [HEADER, *THREE], [["Notes"], ["Checked in May"]], [HEADER, *CHAIRS]
    )
    rates, left_out = category_rates(read_lines(book), 20)
    assert rates["invoices"].to_list() == [3, 2, 1]
    assert dict(left_out.iter_rows()) == {"in a sheet that names no column": 2}


@pytest.mark.parametrize("price", ["1,5", "1.234,50", "1,234.50", "£1.50", " 1.5 ", "1.5E1"])
def test_a_price_is_positive_however_it_is_written(tmp_path: Path, price: str) -> None:
    rows = [product(number, "TIN LANTERN", price) for number in (1, 2)]
    assert shares(write_csv(tmp_path / "retail.csv", [HEADER, *rows])) == {"LANTERN": 1.0}


@pytest.mark.parametrize("price", ["", "0", "0,00", "-1,5", "nan", "inf", "free"])
def test_most_lines_may_not_be_left_out(tmp_path: Path, price: str) -> None:
    rows = [*THREE, *[product(number, "BLUE CHAIR", price) for number in range(4, 8)]]
    with pytest.raises(
        PipelineError, match=r"4 of 7 lines are left out, at most 50% may be \(quantity or price .*: 4\)"
    ):
        shares(write_csv(tmp_path / "retail.csv", [HEADER, *rows]))


def test_a_line_without_an_invoice_is_left_out(tmp_path: Path) -> None:
    rows = [*THREE, ["", *CHAIRS[0][1:]], [" c9 ", *CHAIRS[1][1:]]]
    rates, left_out = category_rates(read_lines(write_csv(tmp_path / "retail.csv", [HEADER, *rows])), 20)
    assert rates["category"].to_list() == ["LANTERN", "BAG"]
    assert dict(left_out.iter_rows()) == {"no invoice": 1, "cancelled": 1}


def test_an_invoice_is_the_same_as_number_and_as_text(tmp_path: Path) -> None:
    rows = [product(1, "TIN LANTERN"), ["1.0", *product(1, "RED BAG")[1:]]]
    assert shares(write_csv(tmp_path / "retail.csv", [HEADER, *rows])) == {"LANTERN": 1.0, "BAG": 1.0}


def test_workbooks_of_other_tools(tmp_path: Path) -> None:
    expected = {"LANTERN": pytest.approx(2 / 3), "BAG": pytest.approx(1 / 3)}
    sheet = [HEADER, *THREE]
    holes = '<row><c t="s"/><c t="s"><v></v></c><c t="e"><v>#N/A</v></c></row>'
    for book in (
        write_workbook(tmp_path / "RETAIL.XLSX", sheet),
        write_workbook(tmp_path / "strict.xlsx", sheet, namespace=STRICT),
        write_workbook(tmp_path / "named.xlsm", sheet, part="Data {}"),
        write_workbook(tmp_path / "holes.xlsx", sheet, more=holes),
        write_workbook(tmp_path / "no-suffix", sheet),
    ):
        assert shares(book) == expected
    cells = "".join(
        f"<row>{''.join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in row)}</row>" for row in sheet
    )
    with ZipFile(tmp_path / "inline.xlsx", "w") as archive:
        archive.writestr("xl/sharedStrings.xml", "")
        archive.writestr("xl/worksheets/sheet1.xml", f"<worksheet><sheetData>{cells}</sheetData></worksheet>")
    assert shares(tmp_path / "inline.xlsx") == expected


def test_csv_files_of_other_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"LANTERN": pytest.approx(2 / 3), "CAFÉ": pytest.approx(1 / 3)}
    rows = [HEADER, *THREE[:2], product(3, "RED CAFÉ")]
    monkeypatch.setenv("HOME", str(tmp_path))
    for separator in (",", ";", "\t"):
        text = "\r\n".join(separator.join(row) for row in rows)
        for encoding in ("utf-8", "utf-8-sig", "latin-1"):
            (tmp_path / "retail.csv").write_bytes(text.encode(encoding))
            assert shares(tmp_path / "retail.csv") == expected
    rates, _ = category_rates(read_lines("~/retail.csv"), 20)
    assert len(rates) == 2


def test_only_the_most_frequent_categories_are_kept(tmp_path: Path) -> None:
    assert len(category_rates(read_lines(write_csv(tmp_path / "retail.csv", [HEADER, *LINES])), 2)[0]) == 2


def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.xlsx").write_bytes(b"PK")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").touch()
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    (tmp_path / "lines.csv.gz").write_bytes(gzip.compress(b"Invoice,StockCode\n"))
    (tmp_path / "header.csv").write_text(",".join(HEADER) + "\n")
    (tmp_path / "quote.csv").write_text(",".join(HEADER) + '\n"' + "x" * 200_000)
    (tmp_path / "page.csv").write_text("<html>Sign in")
    for name, part in {
        "download.zip": "online_retail_II.xlsx",
        "b.xlsb": "xl/workbook.bin",
        "o.ods": "content.xml",
    }.items():
        with ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(part, "")
    write_csv(tmp_path / "other.csv", [["a", "b"], ["1", "2"]])
    write_workbook(tmp_path / "half.xlsx", [HEADER, *THREE], [HEADER[:3], *CHAIRS])
    write_workbook(tmp_path / "index.xlsx", [HEADER, *THREE], more='<row><c t="s"><v>99</v></c></row>')
    for name, said in {
        "nowhere.csv": "there is no file",
        "folder": "folder is a folder: name the file in it",
        "empty.csv": r"empty\.csv is empty",
        "old.xls": r"old\.xls is an old Excel workbook \(\.xls\)",
        "lines.csv.gz": "is compressed with gzip: unpack it",
        "header.csv": r"header\.csv has no lines below a header",
        "quote.csv": r"quote\.csv is no table: field larger than field limit",
        "page.csv": "is a web page or XML, not CSV",
        "download.zip": r"is a zip file without sheets of a workbook; it holds online_retail_II\.xlsx: unpack it",
        "b.xlsb": "is a binary Excel workbook",
        "o.ods": "is an OpenDocument file",
        "half.xlsx": r"half\.xlsx, sheet2\.xml, has another schema than Online Retail II: it lacks Quantity, Price",
        "index.xlsx": r"index\.xlsx is no whole Excel workbook",
        "broken.xlsx": r"broken\.xlsx is no whole Excel workbook",
        "other.csv": r"other\.csv has another schema than Online Retail II: it lacks Invoice, StockCode",
    }.items():
        with pytest.raises(PipelineError, match=said):
            read_lines(tmp_path / name)
