"""Category rates: how often an invoice holds something of a category.

The data set has purchases, no clicks and no categories. So both are defined here:

- A category is the last word of a product's description, in the singular, such as HOLDER for "WHITE HANGING HEART
  T-LIGHT HOLDER": in this shop's catalogue that is the kind of thing. The most frequent ones are kept.
- Its rate is the share of invoices with at least one line of it: a success rate per visit that ended in a purchase. It
  is no click rate of a page, and rates of different categories do not add up to 1.

Left out, and counted by reason: cancelled invoices (they begin with C), quantities and prices that are not positive,
lines that are no products (stock codes without a digit in front, such as POST), and lines without a description.
"""

from pathlib import Path
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.retail import workbook

COLUMNS: Final = ("Invoice", "StockCode", "Description", "Quantity", "Price")
_OLDER: Final = {"InvoiceNo": "Invoice", "UnitPrice": "Price"}
"""What the first edition of the data set calls them."""


def read_lines(path: Path) -> pl.DataFrame:
    """Return the invoice lines of a workbook or CSV file as texts; PipelineError says what is wrong with the file."""
    if not path.is_file():
        raise PipelineError(f"there is no file {path}; see BANDIT_RETAIL_FILE.")
    frame = _read_workbook(path) if path.suffix == ".xlsx" else _read_csv(path)
    frame = frame.rename({old: new for old, new in _OLDER.items() if old in frame.columns})
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise PipelineError(f"{path.name} has another schema than Online Retail II: it lacks {', '.join(missing)}.")
    return frame.select(COLUMNS)


def _read_workbook(path: Path) -> pl.DataFrame:
    found = workbook.rows(path)
    header = next(found, [])
    width = len(header)
    # Every sheet begins with the same header.
    lines = [[*row, *[""] * (width - len(row))][:width] for row in found if row != header]
    return pl.DataFrame(lines, schema=dict.fromkeys(header, pl.String), orient="row")


def _read_csv(path: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(path, infer_schema=False, encoding="utf8-lossy")
    except PolarsError as error:
        raise PipelineError(f"{path.name} is no table: {str(error).partition(chr(10))[0]}.") from error


def category_rates(lines: pl.DataFrame, categories: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the most frequent categories with invoices and rate, and how many lines were left out for which reason."""
    judged = lines.with_columns(reason=_reason())
    kept = judged.filter(pl.col("reason").is_null()).with_columns(category=_category())
    invoices = kept["Invoice"].n_unique()
    found = (
        kept.group_by("category")
        .agg(invoices=pl.col("Invoice").n_unique())
        .with_columns(rate=pl.col("invoices") / invoices)
        .sort("invoices", "category", descending=[True, False])
        .head(categories)
    )
    left_out = judged.filter(pl.col("reason").is_not_null()).group_by("reason").agg(lines=pl.len()).sort("reason")
    return found, left_out


def _reason() -> pl.Expr:
    quantity, price = (pl.col(name).cast(pl.Float64, strict=False) for name in ("Quantity", "Price"))
    return (
        pl.when(pl.col("Invoice").str.starts_with("C"))
        .then(pl.lit("cancelled"))
        .when(~pl.col("StockCode").str.contains(r"^\d").fill_null(value=False))
        .then(pl.lit("no product"))
        .when(~((quantity > 0) & (price > 0)).fill_null(value=False))
        .then(pl.lit("quantity or price is not positive"))
        .when(_category().is_null())
        .then(pl.lit("no description"))
    )


def _category() -> pl.Expr:
    last = pl.col("Description").str.to_uppercase().str.extract(r"([A-Z]{3,})[^A-Z]*$")
    return last.str.replace(r"(SH|CH|X|SS)ES$", "$1").str.replace(r"([^S])S$", "$1")
