"""What panels have in common: every one has a title, a description and its queries, and is laid out 24 columns wide."""

from typing import Final, Protocol, Self

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries, xychart
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue, Threshold
from grafana_foundation_sdk.models.xychart import SeriesMapping, XYShowMode

HALF: Final = 12
WHOLE: Final = 24
TALL: Final = 10
SHORT: Final = 4
NORMAL: Final = 8
# Means and losses are in what rewards are sent in: a share for one experiment, an amount of money for another.
REWARD: Final = "short"

type Target = Builder[Dataquery]


class _Common(Protocol):
    """The part of a panel's builder that does not depend on what it draws."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def targets(self, targets: list[Target]) -> Self: ...


def lines(
    title: str, description: str, *targets: Target, unit: str = "short", span: int = HALF, steps: bool = False
) -> timeseries.Panel:
    """Return curves over time; `steps` where a value holds until the next one replaces it."""
    panel = _described(timeseries.Panel(), title, description, targets, span, NORMAL)
    return (
        panel.unit(unit)
        .line_interpolation(LineInterpolation.STEP_AFTER if steps else LineInterpolation.LINEAR)
        .line_width(2)
        .fill_opacity(5)
        .show_points(VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )


def curves(title: str, description: str, target: Target, *, by: str, x_label: str, span: int = WHOLE) -> xychart.Panel:
    """Return one curve for each value of the column `by`, over the first number column, which is no time."""
    panel = _described(xychart.Panel(), title, description, (target,), span, TALL)
    split = DataTransformerConfig(
        id_val="partitionByValues", options={"fields": [by], "keepFields": False, "naming": {"asLabels": True}}
    )
    return (
        panel.with_transformation(split)
        .display_name(f"${{__field.labels.{by}}}")
        .mapping(SeriesMapping.AUTO)
        .show(XYShowMode.LINES)
        .line_width(2)
        .override_by_name("x", [DynamicConfigValue("custom.axisLabel", x_label)])
        .legend(_legend())
    )


def rows(title: str, description: str, target: Target, *, span: int = WHOLE, height: int = NORMAL) -> table.Panel:
    """Return a table."""
    return _described(table.Panel(), title, description, (target,), span, height).filterable(filterable=True)


def figure(
    title: str, description: str, target: Target, *, field: str = "", unit: str = "short", span: int = 6
) -> stat.Panel:
    """Return one large value for every series, or the one of the column `field`, whatever its type."""
    panel = _described(stat.Panel(), title, description, (target,), span, SHORT)
    reduce = ReduceDataOptions().calcs(["lastNotNull"])
    return (
        panel.unit(unit)
        .reduce_options(reduce.fields(f"/^{field}$/") if field else reduce)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .no_value("-")
    )


def bars(
    title: str, description: str, target: Target, *, field: str = "", unit: str = "percentunit", span: int = HALF
) -> bargauge.Panel:
    """Return one horizontal bar from 0 to 1 for every series, or every row of the number column `field`."""
    panel = _described(bargauge.Panel(), title, description, (target,), span, NORMAL)
    reduce = ReduceDataOptions().calcs(["lastNotNull"])
    return (
        panel.unit(unit)
        .min(0)
        .max(1)
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .reduce_options(reduce.values(values=True).fields(f"/^{field}$/") if field else reduce)
    )


def levels(*steps: tuple[float, str], base: str = "green") -> ThresholdsConfig:
    """Return colours by value: `base`, and each colour from its value on."""
    return ThresholdsConfig().steps([Threshold(None, base), *(Threshold(value, colour) for value, colour in steps)])


def as_unit(unit: str, decimals: int | None = None) -> list[DynamicConfigValue]:
    """Return how a table's column shows its numbers."""
    shown = [DynamicConfigValue("unit", unit)]
    return shown if decimals is None else [*shown, DynamicConfigValue("decimals", decimals)]


def link_to(url: str, title: str) -> list[DynamicConfigValue]:
    """Return the link that a table's cells carry."""
    return [DynamicConfigValue("links", [{"title": title, "url": url}])]


def _described[P: _Common](
    panel: P, title: str, description: str, targets: tuple[Target, ...], span: int, height: int
) -> P:
    return panel.title(title).description(description).span(span).height(height).targets(list(targets))


def _legend() -> VizLegendOptions:
    return VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)  # noqa: FBT003
