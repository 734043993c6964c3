"""What pictures have in common: their size, and how they become files. No network and no browser is needed."""

import altair as alt
import vl_convert as vlc

WIDTH, HEIGHT = 640, 320
SCALE = 1.5

type Chart = alt.TopLevelMixin


def png(chart: Chart, *, scale: float = SCALE) -> bytes:
    """Return a chart as a PNG file."""
    return bytes(vlc.vegalite_to_png(chart.to_json(), scale=scale))


def html(chart: Chart) -> str:
    """Return a chart as a page that stands by itself."""
    return vlc.vegalite_to_html(chart.to_json(), bundle=True)
