"""Full size: what stopping rules do on equal, near and clear arms, and what their word is worth."""

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest

from bandit_core.guardrails import preset
from bandit_core.operating_characteristics import Ending, OperatingCharacteristics, endings, summarise
from bandit_core.policies.thompson import Thompson
from bandit_core.simulation import BernoulliEnvironment, Published
from bandit_core.stopping import StoppingRule

pytestmark = pytest.mark.verify

RUNS, CHUNK, DECISIONS, EVERY = 1_000, 50, 20_000, 200
CLICK_RATE_PRIOR = (2.0, 18.0)

ENVIRONMENTS = {
    "equal": (0.10, 0.10, 0.10, 0.10),
    "near": (0.10, 0.095, 0.09, 0.08),
    "clear": (0.10, 0.05, 0.05, 0.05),
    "`make run`": (3 / 201, 2 / 214, 2 / 244, 1 / 214, 1 / 233),
}
RULES = {
    "P(best) ≥ 0.95": StoppingRule(),
    "P(best) ≥ 0.99": StoppingRule(prob_best=0.99),
    "P(best) ≥ 0.95 or loss ≤ 0.0005, from 5,000 on": StoppingRule(
        min_decisions=5_000, min_decisions_per_arm=0, expected_loss=0.0005
    ),
}
COLUMNS = [
    "arms",
    "rule",
    "stopped",
    "winner",
    "practically equal",
    "wrong winner",
    "loss when wrong",
    "median decisions",
    "90% stop by",
]

type Played = dict[str, list[Ending]]


def play(
    workers: ProcessPoolExecutor, means: np.ndarray[tuple[int, int], np.dtype[np.float64]], prior: tuple[float, float]
) -> Played:
    """Play as many experiments as `means` has rows, under every rule, with the floor of the neutral preset."""
    arms = means.shape[1]
    strategy = Published(Thompson(), every=EVERY, min_weight=preset("neutral", arms).min_weight)
    chunk = partial(
        endings, strategy=strategy, rules=list(RULES.values()), decisions=DECISIONS, runs=CHUNK, prior=prior
    )
    seeds = np.random.SeedSequence(arms).spawn(RUNS // CHUNK)
    chunks = [
        workers.submit(chunk, BernoulliEnvironment(rows), rng=np.random.default_rng(seed))
        for rows, seed in zip(np.split(means, RUNS // CHUNK), seeds, strict=True)
    ]
    played: Played = {rule: [] for rule in RULES}
    for finished in chunks:
        for rule, of_rule in zip(RULES, finished.result(), strict=True):
            played[rule] += of_rule
    return played


def percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def row(arms: str, rule: str, summary: OperatingCharacteristics) -> list[str]:
    durations = [summary.median_decisions, summary.ninth_decile_decisions]
    return [
        arms,
        rule,
        percent(summary.stop_rate),
        percent(summary.winner_rate),
        percent(summary.practically_equal_rate),
        percent(summary.wrong_winner_rate),
        percent(summary.loss_when_wrong, digits=2),
        *("–" if decisions is None else f"{decisions:,.0f}" for decisions in durations),
    ]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_operating_characteristics(name: str, workers: ProcessPoolExecutor, record: Callable[..., None]) -> None:
    means = np.tile(ENVIRONMENTS[name], (RUNS, 1))
    summaries = {rule: summarise(ended) for rule, ended in play(workers, means, prior=(1.0, 1.0)).items()}
    assert all(summary.runs == RUNS for summary in summaries.values())
    assert all(summary.wrong_winner_rate < 0.05 for summary in summaries.values())
    if name == "clear":
        assert summaries["P(best) ≥ 0.95"].stop_rate > 0.99
    record(
        "stopping",
        part=list(ENVIRONMENTS).index(name) + 1,
        of=len(ENVIRONMENTS),
        columns=COLUMNS,
        rows=[row(name, rule, summary) for rule, summary in summaries.items()],
    )


def test_the_word_of_a_rule_is_worth_what_it_says_when_arms_are_drawn_from_the_prior(
    workers: ProcessPoolExecutor, record: Callable[..., None]
) -> None:
    """Wrong winners are as many as the sum of 1 - P(best) at the stops, within 4 standard deviations."""
    means = np.random.default_rng(1).beta(*CLICK_RATE_PRIOR, (RUNS, 4))
    rows = []
    for rule, ended in play(workers, means, prior=CLICK_RATE_PRIOR).items():
        winners = [ending for ending in ended if ending.verdict.outcome == "winner"]
        doubts = np.array([1.0 - ending.verdict.conditions[0].value for ending in winners])
        wrong = sum(ending.loss != 0.0 for ending in winners)
        deviation = math.sqrt((doubts * (1.0 - doubts)).sum())
        assert abs(wrong - doubts.sum()) < 4 * deviation
        rows.append([rule, f"{len(winners):,}", f"{doubts.sum():.1f} ± {deviation:.1f}", str(wrong)])
    record(
        "calibration",
        part=1,
        of=1,
        columns=["rule", "winners announced", "expected to be wrong (sum of 1 − P(best))", "wrong"],
        rows=rows,
    )
