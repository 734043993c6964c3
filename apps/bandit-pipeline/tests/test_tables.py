"""Tables as people read them."""

import polars as pl

from bandit_pipeline.tables import as_markdown


def test_a_frame_as_markdown() -> None:
    frame = pl.DataFrame({"arm": ["a|b", None], "rate": [0.123456, 1.0], "clicks": [3, 0]})
    assert as_markdown(frame).splitlines() == [
        "| arm | rate | clicks |",
        "|---|---|---|",
        "| a\\|b | 0.1235 | 3 |",
        "| - | 1 | 0 |",
    ]
