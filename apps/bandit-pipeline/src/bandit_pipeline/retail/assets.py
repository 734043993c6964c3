"""A second source of arms: category rates of UCI Online Retail II, from a file of your own."""

import os

import dagster as dg
from pydantic import Field

from bandit_pipeline.errors import clear_failure
from bandit_pipeline.owners import OWNERS
from bandit_pipeline.resources import Bucket
from bandit_pipeline.retail.rates import category_rates, read_lines
from bandit_pipeline.tables import markdown

KEY = "silver/online_retail/category_rates.parquet"


class RetailConfig(dg.Config):
    """Which file, and how much of it."""

    file: str = Field(default="", description="The .xlsx or .csv file; empty: BANDIT_RETAIL_FILE")
    categories: int = Field(default=20, ge=2, description="How many of the most frequent categories to keep")


@dg.asset(group_name="retail", owners=OWNERS, kinds={"s3", "parquet"})
def retail_category_rates(
    context: dg.AssetExecutionContext, config: RetailConfig, bucket: Bucket
) -> dg.MaterializeResult[None]:
    """Share of invoices per product category of Online Retail II; without a file nothing is read or written."""
    path = config.file or os.environ.get("BANDIT_RETAIL_FILE", "")
    if not path:
        return dg.MaterializeResult(metadata={"file": "none is given: set BANDIT_RETAIL_FILE"})
    with clear_failure(context):
        lines = read_lines(path)
        rates, left_out = category_rates(lines, config.categories)
        bucket.put_frame(KEY, rates)
    return dg.MaterializeResult(
        metadata={
            "file": path,
            "lines": len(lines),
            "uri": bucket.uri(KEY),
            "categories": markdown(rates),
            "left out": markdown(left_out),
        }
    )
