"""Full size: published weights have the regret of plain Thompson sampling, and what publishing seldom costs."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial

import numpy as np
import pytest

from bandit_core.policies.thompson import Thompson
from bandit_core.simulation import BernoulliEnvironment, Published, Strategy
from studies.regret import PlainThompson, simulate

pytestmark = pytest.mark.verify

ARMS = BernoulliEnvironment(np.array([0.10, 0.09, 0.08, 0.05]))
HORIZONS = (1_000, 5_000, 10_000)
KNOWN = {1_000: (11.92, 0.06), 5_000: (34.98, 0.23), 10_000: (50.22, 0.39)}
CHUNK = 500

STRATEGIES: dict[str, tuple[Strategy, int]] = {
    "plain Thompson sampling": (PlainThompson(), 16_000),
    "published every 10": (Published(Thompson(), every=10), 1_000),
    "published every 100": (Published(Thompson(), every=100), 8_000),
    "published every 500": (Published(Thompson(), every=500), 8_000),
}

type Measured = dict[int, tuple[float, float]]
"""Decisions -> cumulative pseudo-regret and its standard error."""


@pytest.fixture(scope="module")
def regret(workers: ProcessPoolExecutor) -> Callable[[str], Measured]:
    """Measure a strategy once, at its first use."""

    @cache
    def measure(name: str) -> Measured:
        strategy, runs = STRATEGIES[name]
        seeds = np.random.SeedSequence(list(STRATEGIES).index(name)).spawn(runs // CHUNK)
        play = partial(simulate, ARMS, strategy, decisions=max(HORIZONS), runs=CHUNK)
        chunks = [workers.submit(play, rng=np.random.default_rng(seed)) for seed in seeds]
        points = np.array([[chunk.result().at(horizon) for horizon in HORIZONS] for chunk in chunks])
        mean, std_error = points[..., 0].mean(axis=0), np.sqrt((points[..., 1] ** 2).sum(axis=0)) / len(chunks)
        return dict(zip(HORIZONS, zip(mean.tolist(), std_error.tolist(), strict=True), strict=True))

    return measure


def standard_errors_apart(left: tuple[float, float], right: tuple[float, float]) -> float:
    return abs(left[0] - right[0]) / float(np.hypot(left[1], right[1]))


def cost(measured: tuple[float, float], plain: tuple[float, float]) -> tuple[float, float]:
    """What share of regret comes on top, with its standard error (delta method)."""
    ratio = measured[0] / plain[0]
    return ratio - 1.0, ratio * float(np.hypot(measured[1] / measured[0], plain[1] / plain[0]))


@pytest.mark.parametrize("horizon", HORIZONS)
def test_the_reference_reproduces_the_known_figures(regret: Callable[[str], Measured], horizon: int) -> None:
    assert standard_errors_apart(regret("plain Thompson sampling")[horizon], KNOWN[horizon]) < 3


@pytest.mark.parametrize("horizon", HORIZONS)
def test_published_weights_have_the_regret_of_plain_thompson_sampling(
    regret: Callable[[str], Measured], horizon: int
) -> None:
    published = regret("published every 10")[horizon]
    assert standard_errors_apart(published, regret("plain Thompson sampling")[horizon]) < 3
    assert standard_errors_apart(published, KNOWN[horizon]) < 3


def test_publishing_every_100_decisions_costs_at_most_5_percent_of_10_000(regret: Callable[[str], Measured]) -> None:
    added, std_error = cost(regret("published every 100")[10_000], regret("plain Thompson sampling")[10_000])
    assert added + 2 * std_error < 0.05


@pytest.mark.parametrize("name", STRATEGIES)
def test_regret_is_measured(name: str, regret: Callable[[str], Measured], record: Callable[..., None]) -> None:
    """And seldom publishing never gains more than chance explains."""
    measured, plain = regret(name), regret("plain Thompson sampling")
    added, std_error = cost(measured[10_000], plain[10_000])
    assert added > -3 * std_error
    figures = [f"{mean:.2f} ± {error:.2f}" for mean, error in measured.values()]
    extra = "" if measured is plain else f"{100 * added:+.1f}% ± {100 * std_error:.1f}%"
    record(
        "regret",
        part=list(STRATEGIES).index(name) + 1,
        of=len(STRATEGIES),
        columns=["weights", "runs", *(f"after {horizon:,}" for horizon in HORIZONS), "cost at 10,000"],
        rows=[[name, f"{STRATEGIES[name][1]:,}", *figures, extra]],
    )
