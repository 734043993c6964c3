"""How far to explore: the share of the oracle's advantage that both linear policies earn, for a sweep of alpha.

    python docs/examples/sleep_sweep.py FOLDER      (default: the current folder; takes about half a minute)

20 simulated runs of 20,000 nights for each setting, with the same participants; writes sleep_sweep.svg, prints a table.
"""

import sys
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl

from bandit_core.contextual import LinearThompson, LinUCB
from bandit_core.sleep import measured_shares

ALPHAS = (0.03, 0.1, 0.3, 1.0, 3.0)
NIGHTS = (1_000, 5_000, 20_000)
RUNS = 20


def sweep() -> pl.DataFrame:
    """Return mean share and standard error for each policy, alpha and number of nights."""
    rows = []
    for policy in (LinUCB, LinearThompson):
        for alpha in ALPHAS:
            shares = measured_shares(policy(alpha=alpha), NIGHTS, [np.random.default_rng(run) for run in range(RUNS)])
            errors = shares.std(axis=0, ddof=1) / np.sqrt(RUNS)
            rows += [
                {"policy": policy.name, "alpha": alpha, "nights": nights, "share": share, "error": error}
                for nights, share, error in zip(NIGHTS, shares.mean(axis=0), errors, strict=True)
            ]
    return pl.DataFrame(rows)


def main(folder: Path) -> None:
    found = sweep()
    lines = alt.Chart(found.filter(pl.col("nights") == max(NIGHTS))).mark_line(point=True)
    chart = lines.encode(
        x=alt.X("alpha:Q", scale=alt.Scale(type="log")),
        y=alt.Y("share:Q", title="share of the oracle's advantage", axis=alt.Axis(format="%")),
        color="policy:N",
    )
    chart.properties(width=480, height=260, title="20,000 nights, 20 runs").save(folder / "sleep_sweep.svg")
    for row in found.iter_rows(named=True):
        print("{policy} alpha {alpha:g}, {nights:,} nights: {share:.1%} ± {error:.1%}".format(**row))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
