"""Thirty windows of simulated traffic: weights move step by step; a CSV of them, and a picture.

python docs/examples/engine_many_windows.py FOLDER      (default: the current folder)
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl

from bandit_core.engine import Constraints, Engine, Observation

RATES = {"A": 0.05, "B": 0.065, "C": 0.055}
VISITORS = 2_000
WINDOWS = 30
CONSTRAINTS = Constraints(min_trials=500, max_step=0.1, min_weight=0.05)


def windows(seed: int) -> Iterator[dict[str, float]]:
    """Yield the weights of each window; what was seen so far decides those of the next."""
    rng, engine = np.random.default_rng(seed), Engine(strategy="thompson")
    weights = dict.fromkeys(RATES, 1 / len(RATES))
    trials, successes = dict.fromkeys(RATES, 0), dict.fromkeys(RATES, 0)
    for _ in range(WINDOWS):
        yield weights
        for variant, seen in zip(RATES, rng.multinomial(VISITORS, list(weights.values())), strict=True):
            trials[variant] += int(seen)
            successes[variant] += int(rng.binomial(seen, RATES[variant]))
        weights = engine.compute(
            observations={variant: Observation(trials[variant], successes[variant]) for variant in RATES},
            previous_weights=weights,
            constraints=CONSTRAINTS,
        ).weights


def main(folder: Path) -> None:
    rows = [
        {"window": number, "variant": variant, "weight": weight}
        for number, weights in enumerate(windows(seed=7))
        for variant, weight in weights.items()
    ]
    with (folder / "weights_over_time.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=["window", "variant", "weight"])
        writer.writeheader()
        writer.writerows(rows)
    lines = alt.Chart(pl.DataFrame(rows)).mark_line(interpolate="step-after")
    chart = lines.encode(x="window:Q", y=alt.Y("weight:Q", scale=alt.Scale(domain=[0, 1])), color="variant:N")
    chart.properties(width=560, height=260, title="Weights over time").save(folder / "weights_over_time.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
