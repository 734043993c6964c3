"""Full size: what estimates and intervals are worth on logs whose policy learned from them."""

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from studies.adaptive_studies import (
    Experiment,
    Figures,
    study_arm_values,
    study_confidence_sequence,
    study_ipw,
)

pytestmark = pytest.mark.verify

MEANS = np.array([0.10, 0.15, 0.20, 0.30])
FLOOR, CHUNK = 0.05, 250


def gather(workers: ProcessPoolExecutor, study: Callable[..., Figures], runs: int, seed: int) -> Figures:
    seeds = np.random.SeedSequence(seed).spawn(runs // CHUNK)
    futures = [workers.submit(study, runs=CHUNK, rng=np.random.default_rng(each)) for each in seeds]
    chunks = [future.result() for future in futures]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


@pytest.mark.parametrize("floor", [FLOOR, 0.0])
def test_ipw_with_exact_propensities_and_a_floor_is_unbiased(
    floor: float, workers: ProcessPoolExecutor, record: Callable[..., None]
) -> None:
    """Without a floor the mean over runs hangs on runs too rare to be seen: of it only medians are shown.

    The bias of Monte-Carlo propensities is measured given the weights, which needs no mean over runs of the estimate.
    """
    runs = 8_000
    found = gather(workers, partial(study_ipw, Experiment(MEANS, floor, decisions=1_000)), runs, seed=1)
    bias = {"exact": found["exact"], "monte carlo": found["monte carlo bias"]}
    shown = {name: f"{1e3 * each.mean():+.2f} ± {1e3 * standard_error(each):.2f}" for name, each in bias.items()}
    if floor:
        assert abs(found["exact"].mean()) < 3 * standard_error(found["exact"])
    else:
        shown["exact"] = "cannot be measured"
    record(
        "ope_adaptive_ipw",
        part=1 if floor else 2,
        of=2,
        columns=[
            "floor",
            "propensities",
            "bias, in 1/1,000",
            "median error, in 1/1,000",
            "median effective sample size of 1,000",
            "median largest weight",
            "largest weight of all runs",
        ],
        rows=[
            [
                f"{floor:g}" if floor else "none",
                propensities,
                shown[name],
                f"{1e3 * np.median(found[name]):+.2f}",
                f"{np.median(found['ess']):,.0f}",
                f"{np.median(found['largest']):,.1f}",
                f"{found['largest'].max():,.0f}",
            ]
            for name, propensities in {"exact": "exact", "monte carlo": "1,000 draws"}.items()
        ],
    )


def standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values))


@pytest.mark.parametrize("decisions", [1_000, 5_000])
def test_adaptively_weighted_values_have_little_bias_and_cover_once_decisions_are_many(
    decisions: int, workers: ProcessPoolExecutor, record: Callable[..., None]
) -> None:
    runs = 4_000
    found = gather(workers, partial(study_arm_values, Experiment(MEANS, FLOOR, decisions)), runs, seed=2)
    bias, plain_bias = found["errors"].mean(axis=0), found["plain errors"].mean(axis=0)
    deviation = found["errors"].std(axis=0, ddof=1)
    std_error = deviation / math.sqrt(runs)
    coverage, plain_coverage = found["covered"].mean(axis=0), found["plain covered"].mean(axis=0)
    assert (np.abs(bias) < 0.1 * deviation + 4 * std_error).all()
    if decisions == 5_000:
        assert ((coverage > 0.93) & (coverage < 0.97)).all()
    names = [*(f"arm of mean {mean:.2f}" for mean in MEANS), "best − worst"]
    record(
        "ope_adaptive_values",
        part=1 if decisions == 1_000 else 2,
        of=2,
        columns=[
            "decisions",
            "value",
            "bias, in 1/1,000",
            "coverage of 95%",
            "bias of the plain mean, in 1/1,000",
            "its coverage",
        ],
        rows=[
            [
                f"{decisions:,}",
                name,
                f"{1e3 * bias[i]:+.2f} ± {1e3 * std_error[i]:.2f}",
                f"{100 * coverage[i]:.1f}%",
                f"{1e3 * plain_bias[i]:+.2f}",
                f"{100 * plain_coverage[i]:.1f}%",
            ]
            for i, name in enumerate(names)
        ],
    )


TARGETS = {"uniform": np.full(4, 0.25), "best arm": np.eye(4)[3], "worst arm": np.eye(4)[0]}
KNOWLEDGE = {
    "nothing": ("nothing", 0),
    "the floor": ("floor", 0),
    "all weights": ("weights", 0),
    "all weights, rewards 500 decisions late": ("weights", 500),
}


@pytest.mark.parametrize("knowledge", KNOWLEDGE)
@pytest.mark.parametrize("name", TARGETS)
def test_the_confidence_sequence_holds_the_value_at_all_times_in_930_of_1000_experiments(
    name: str, knowledge: str, workers: ProcessPoolExecutor, record: Callable[..., None]
) -> None:
    known, delay = KNOWLEDGE[knowledge]
    study = partial(
        study_confidence_sequence,
        Experiment(MEANS, FLOOR, decisions=5_000),
        TARGETS[name],
        knowledge=known,
        delay=delay,
        looks=(1_000, 5_000),
    )
    found = gather(workers, study, 1_000, seed=3)
    held = 1_000 - int(found["outside"].sum())
    assert held >= 930
    widths = np.median(found["widths"], axis=0)
    record(
        "ope_confidence_sequence",
        part=list(TARGETS).index(name) * len(KNOWLEDGE) + list(KNOWLEDGE).index(knowledge) + 1,
        of=len(TARGETS) * len(KNOWLEDGE),
        columns=[
            "evaluation policy",
            "known of the propensities",
            "held at all times, of 1,000",
            "median width after 1,000",
            "after 5,000",
        ],
        rows=[[name, knowledge, str(held), *(f"{width:.3f}" for width in widths)]],
    )
