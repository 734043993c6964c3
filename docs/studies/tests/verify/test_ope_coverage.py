"""Full size: what intervals for off-policy estimates hold, and how few rewarded matches break them."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest

from studies.interval_coverage import KINDS, Coverage, Kind, Situation, coverage

pytestmark = pytest.mark.verify

RUNS, CHUNK = 4_000, 500
ENOUGH, FEW = 200, 2

SITUATIONS = {
    "one arm, rate 0.005": Situation(rate=0.005, preference=30.0),
    "rate 0.005": Situation(rate=0.005),
    "rate 0.02": Situation(rate=0.02),
    "rate 0.05": Situation(rate=0.05),
    "rate 0.15": Situation(rate=0.15),
    "rate 0.3": Situation(rate=0.3),
    "one arm, rate 0.3, more rounds": Situation(rate=0.3, rounds=8_000, preference=30.0),
    "rate 0.02, more rounds": Situation(rate=0.02, rounds=10_000),
}
COLUMNS = [
    "rate",
    "decisions",
    "best arm's share",
    "expected rewarded matches",
    "normal, IPW",
    "normal, SNIPW",
    "bootstrap, IPW",
    "empirical Bernstein, IPW",
    "warned",
]


def measure(workers: ProcessPoolExecutor, situation: Situation, kinds: list[Kind], method: str) -> dict[Kind, Coverage]:
    one = partial(coverage, situation, kinds, method=method, runs=CHUNK)  # type: ignore[arg-type]
    seeds = np.random.SeedSequence(1).spawn(RUNS // CHUNK)
    chunks = [future.result() for future in [workers.submit(one, rng=np.random.default_rng(seed)) for seed in seeds]]
    return {
        kind: Coverage(
            runs=RUNS,
            covered=sum(chunk[kind].covered for chunk in chunks),
            warned=sum(chunk[kind].warned for chunk in chunks),
            mean_width=sum(chunk[kind].mean_width for chunk in chunks) / len(chunks),
        )
        for kind in kinds
    }


@pytest.mark.parametrize("name", SITUATIONS)
def test_intervals_cover_where_rewarded_matches_are_many_and_warn_where_they_are_few(
    name: str, workers: ProcessPoolExecutor, record: Callable[..., None]
) -> None:
    situation = SITUATIONS[name]
    found = measure(workers, situation, list(KINDS), "ipw")
    normalised = measure(workers, situation, ["normal"], "snipw")
    assert found["empirical Bernstein"].share >= 0.95
    if situation.rewarded_matches >= ENOUGH:
        for measured in (found["normal"], found["bootstrap"], normalised["normal"]):
            assert 0.93 <= measured.share <= 0.97
    if situation.rewarded_matches < ENOUGH / 2:
        assert found["normal"].warned == RUNS
    if situation.rewarded_matches < FEW:
        assert found["normal"].share < 0.85
    record(
        "ope_coverage",
        part=list(SITUATIONS).index(name) + 1,
        of=len(SITUATIONS),
        columns=COLUMNS,
        rows=[
            [
                f"{situation.rate:g}",
                f"{situation.rounds:,}",
                f"{100 * situation.target.max():.0f}%",
                f"{situation.rewarded_matches:.1f}"
                if situation.rewarded_matches < 10
                else f"{situation.rewarded_matches:.0f}",
                *(
                    f"{100 * measured.share:.1f}%"
                    for measured in (
                        found["normal"],
                        normalised["normal"],
                        found["bootstrap"],
                        found["empirical Bernstein"],
                    )
                ),
                f"{100 * found['normal'].warned / RUNS:.0f}%",
            ]
        ],
    )
