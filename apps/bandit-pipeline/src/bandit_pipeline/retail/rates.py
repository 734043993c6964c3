"""Category rates: how often an invoice holds something of a category.

The data set has purchases, no clicks and no categories. So both are defined here:

- A category is the last word of a product's description, in the singular, such as HOLDER for "WHITE HANGING HEART
  T-LIGHT HOLDER": in this shop's catalogue that is the kind of thing. The most frequent ones are kept.
- Its rate is the share of invoices with at least one line of it: a success rate per visit that ended in a purchase. It
  is no click rate of a page, and rates of different categories do not add up to 1.

Left out, and counted by reason: lines without an invoice, cancelled invoices (they begin with C), quantities and prices
that are not positive, lines that are no products (stock codes without a digit in front, such as POST), and lines
without a description.
"""

from pathlib import Path
from typing import Final

import polars as pl

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.files import check_file, local_path
from bandit_pipeline.retail.categories import categorise
from bandit_pipeline.retail.lines import COLUMNS, lacks, lines

MOST_LEFT_OUT: Final = 0.5
"""Share of lines above which what is left is not to be believed: of the data set itself 4% are left out."""


def read_lines(given: str | Path) -> pl.DataFrame:
    """Return the invoice lines of a workbook or CSV file as texts; PipelineError says what is wrong with the file."""
    path = local_path(str(given))
    check_file(path, "BANDIT_RETAIL_FILE")
    found = list(lines(path))
    if not found:
        raise PipelineError(f"{path.name} has no lines below a header.")
    if not any(map(any, found)):
        raise PipelineError(lacks(path.name))
    return pl.DataFrame(found, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


def category_rates(lines: pl.DataFrame, categories: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the most frequent categories with invoices and rate, and how many lines were left out for which reason.

    PipelineError when more than half of the lines are left out.
    """
    category = categorise(lines["Description"].drop_nulls().unique().to_list())
    judged = lines.with_columns(
        Invoice=pl.col("Invoice").str.replace(r"^(\d+)\.0+$", "${1}"),
        category=pl.col("Description").replace_strict(category, default=None, return_dtype=pl.String),
    ).with_columns(reason=_reason())
    kept = judged.filter(pl.col("reason").is_null())
    left_out = judged.filter(pl.col("reason").is_not_null()).group_by("reason").agg(lines=pl.len()).sort("reason")
    _check_share(lines, left_out)
    invoices = kept["Invoice"].n_unique()
    found = (
        kept.group_by("category")
        .agg(invoices=pl.col("Invoice").n_unique())
        .with_columns(rate=pl.col("invoices") / invoices)
        .sort("invoices", "category", descending=[True, False])
        .head(categories)
    )
    return found, left_out


def _check_share(lines: pl.DataFrame, left_out: pl.DataFrame) -> None:
    dropped = int(left_out["lines"].sum())
    if dropped > MOST_LEFT_OUT * len(lines) or lines.is_empty():
        why = ", ".join(f"{reason}: {count:,}" for reason, count in left_out.sort("lines", descending=True).iter_rows())
        raise PipelineError(
            f"{dropped:,} of {len(lines):,} lines are left out, at most {MOST_LEFT_OUT:.0%} may be ({why or 'none'})."
        )


def _reason() -> pl.Expr:
    return (
        pl.when(pl.all_horizontal(pl.all().is_null()))
        .then(pl.lit("in a sheet that names no column"))
        .when(pl.col("Invoice").is_null())
        .then(pl.lit("no invoice"))
        .when(pl.col("Invoice").str.contains("^[Cc]"))
        .then(pl.lit("cancelled"))
        .when(~pl.col("StockCode").str.contains(r"^\d").fill_null(value=False))
        .then(pl.lit("no product"))
        .when(~(_is_positive("Quantity") & _is_positive("Price")).fill_null(value=False))
        .then(pl.lit("quantity or price is not positive"))
        .when(pl.col("category").is_null())
        .then(pl.lit("no description"))
    )


def _is_positive(name: str) -> pl.Expr:
    """Say whether an amount is above 0. For that a decimal comma need not be told from one between thousands."""
    text = pl.col(name).str.replace_all(r"[\s£$€']", "")
    is_amount = text.str.contains(r"^[-+]?[.,]?\d[\d.,]*(?:[eE][-+]?\d+)?$")
    return is_amount & (text.str.replace_all(r"[.,]", "").cast(pl.Float64, strict=False) > 0)
