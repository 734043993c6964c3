"""Full size: what shrinking segments is worth, and what slates learn where later positions are looked at less often."""

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest

from studies.segment_shrinkage import measure
from studies.slate_positions import Slates

pytestmark = pytest.mark.verify

SEGMENTS = (2, 3, 5, 10, 20, 100)
STRENGTHS = (5.0, 20.0, 50.0, 200.0, 1_000.0, 5_000.0, math.inf)
DATA_SETS = 6_000

RATES = np.array([0.10, 0.09, 0.08, 0.07, 0.06])
EXAMINED = {"1, 1, 1": (1.0, 1.0, 1.0), "1, 0.5, 0.25": (1.0, 0.5, 0.25)}
EPSILONS = (0.0, 0.05, 1.0)
RUNS, DECISIONS = 1_000, 10_000


@pytest.mark.parametrize("segments", SEGMENTS)
def test_shrinkage(segments: int, workers: ProcessPoolExecutor, record: Callable[..., None]) -> None:
    one = partial(measure, segments=segments, data_sets=DATA_SETS, rng=np.random.default_rng(segments))
    found = {strength: future.result() for strength, future in {s: workers.submit(one, s) for s in STRENGTHS}.items()}
    alike = found[math.inf].to_complete
    assert alike.value < 1.05
    if segments >= 10:
        for strength in STRENGTHS[:5]:
            assert found[strength].to_none.value < 1.0
            assert found[strength].to_complete.value < 1.0
    record(
        "segment_shrinkage",
        part=SEGMENTS.index(segments) + 1,
        of=len(SEGMENTS),
        columns=["segments", "κ", "to no pooling", "to complete pooling", "coverage of 95%"],
        rows=[
            [
                str(segments),
                "alike" if math.isinf(strength) else f"{strength:,.0f}",
                str(each.to_none),
                str(each.to_complete),
                f"{100 * each.coverage:.0f}%",
            ]
            for strength, each in found.items()
        ],
    )


@pytest.mark.parametrize("examination", EXAMINED)
def test_positions(examination: str, workers: ProcessPoolExecutor, record: Callable[..., None]) -> None:
    rows = []
    for epsilon in EPSILONS:
        slates = Slates(RATES, np.array(EXAMINED[examination]), epsilon, DECISIONS)
        seeds = np.random.SeedSequence(1).spawn(4)
        parts = [workers.submit(slates.best_is_on_top, RUNS // 4, np.random.default_rng(seed)) for seed in seeds]
        share = float(np.concatenate([part.result() for part in parts]).mean())
        error = math.sqrt(share * (1.0 - share) / RUNS)
        rows.append([examination, f"{epsilon:g}", f"{100 * share:.1f}% ± {100 * error:.1f}%"])
    record(
        "slate_positions",
        part=list(EXAMINED).index(examination) + 1,
        of=len(EXAMINED),
        columns=["positions 1, 2, 3 are looked at", "random slates ε", "the best arm has the highest estimate"],
        rows=rows,
    )
