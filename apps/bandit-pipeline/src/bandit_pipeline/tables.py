"""Tables for people: Markdown, as the Dagster UI and the documentation show it."""

import base64

import dagster as dg
import polars as pl

from bandit_pipeline.charts import Chart, png


def as_markdown(frame: pl.DataFrame, digits: int = 4) -> str:
    """Return a frame as a Markdown table; floats with so many significant digits, nulls as a dash."""
    head = [f"| {' | '.join(frame.columns)} |", f"|{'---|' * frame.width}"]
    body = [f"| {' | '.join(_cell(value, digits) for value in row)} |" for row in frame.iter_rows()]
    return "\n".join([*head, *body])


def markdown(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """Return a frame as metadata that the UI shows as a table."""
    return dg.MetadataValue.md(as_markdown(frame))


def picture(chart: Chart) -> dg.MarkdownMetadataValue:
    """Return a chart as metadata that the UI shows as a picture."""
    return dg.MetadataValue.md(f"![chart](data:image/png;base64,{base64.b64encode(png(chart, scale=1.0)).decode()})")


def _cell(value: object, digits: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
