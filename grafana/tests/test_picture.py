"""The picture shows what the panel shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandit_pipeline.charts import png
from dashboards.picture import density_chart, density_points

if TYPE_CHECKING:
    from conftest import Platform


def test_it_draws_the_curves_that_the_panel_asks_for(platform: Platform) -> None:
    points = density_points(platform.dsn, platform.experiment)
    assert {point.arm for point in points} == {"a", "b", "c"}
    assert png(density_chart(points, "Posterior densities", "a test")).startswith(b"\x89PNG")
