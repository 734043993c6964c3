"""The estimates of one policy by all methods, beside what it really earned."""

import altair as alt
import polars as pl

from bandit_pipeline.charts import HEIGHT, WIDTH, Chart


def chart(found: pl.DataFrame, title: str) -> Chart:
    """Return estimates with their intervals, a row per method, and the on-policy value as a line."""
    order = found["method"].to_list()
    y = alt.Y("method:N", sort=order, title=None)
    x = alt.X("estimate:Q", title="clicks per decision")
    base = alt.Chart(found)
    bars = base.mark_rule(strokeWidth=2).encode(alt.X("low:Q"), alt.X2("high:Q"), y)
    points = base.mark_point(filled=True, size=60).encode(x, y)
    truth = base.mark_rule(color="firebrick", strokeDash=[4, 4]).encode(alt.X("mean(on_policy_value):Q"))
    layers: Chart = alt.layer(bars, points, truth).properties(width=WIDTH, height=HEIGHT, title=title)
    return layers
