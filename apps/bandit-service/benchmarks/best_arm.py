"""How long P(best) takes for 2 to 1,000 arms, against simulation and against integration with scipy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np

from bandit_core.best_arm import prob_best
from benchmarks.references.best_arm import DRAWS, Array, by_integration, by_simulation
from benchmarks.table import Table

_ENOUGH_SECONDS: Final = 0.3
_MOST_RUNS: Final = 101
_SEED: Final = 0
COLUMNS: Final = (
    "arms",
    "bandit-core ms",
    f"{DRAWS:,} draws ms",
    "ratio",
    "draws differ by",
    "scipy integral ms",
    "ratio",
    "scipy differs by",
)


def best_arm_table(sizes: Sequence[int]) -> Table:
    """Measure each number of arms once they have had some thousand rewards of rates that are close together."""
    rng = np.random.default_rng(_SEED)
    note = "Medians of as many runs as fit into 0.3 s, at least one; differences are the largest of any arm."
    return Table("P(best) of Beta arms, one call", COLUMNS, [_row(size, rng) for size in sizes], (note,))


def _row(arms: int, rng: np.random.Generator) -> tuple[str, ...]:
    trials = rng.integers(1_000, 5_000, size=arms).astype(np.float64)
    successes = rng.binomial(trials.astype(np.int64), rng.uniform(0.04, 0.06, size=arms)).astype(np.float64)
    alpha, beta = 1.0 + successes, 1.0 + trials - successes
    ours, exact = _timed(lambda: prob_best(alpha, beta))
    drawing, drawn = _timed(lambda: by_simulation(alpha, beta, rng))
    integrating, integrated = _timed(lambda: by_integration(alpha, beta))
    return (
        f"{arms:,}",
        f"{ours * 1e3:.2f}",
        f"{drawing * 1e3:,.1f}",
        f"{drawing / ours:,.0f} ×",
        f"{np.abs(drawn - exact).max():.0e}",
        f"{integrating * 1e3:,.1f}",
        f"{integrating / ours:,.1f} ×",
        f"{np.abs(integrated - exact).max():.0e}",
    )


def _timed(compute: Callable[[], Array]) -> tuple[float, Array]:
    """Return the median seconds of a call, and its result."""
    seconds: list[float] = []
    while sum(seconds) < _ENOUGH_SECONDS and len(seconds) < _MOST_RUNS:
        started = perf_counter()
        result = compute()
        seconds.append(perf_counter() - started)
    return median(seconds), result
