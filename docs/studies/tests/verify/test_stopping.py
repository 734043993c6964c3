"""Full size: what stopping rules do on equal, near and clear arms, and what their word is worth."""

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest

from bandit_core.guardrails import preset
from bandit_core.policies.base import Policy
from bandit_core.policies.thompson import Thompson
from bandit_core.policies.uniform import Uniform
from bandit_core.simulation import Array, BernoulliEnvironment, Published
from bandit_core.stopping import StoppingRule
from studies.operating_characteristics import Ending, OperatingCharacteristics, endings, summarise

pytestmark = pytest.mark.verify

RUNS, CHUNK, DECISIONS, EVERY = 1_000, 50, 20_000, 200

SITUATIONS: dict[str, tuple[Policy, tuple[float, ...]]] = {
    "equal": (Thompson(), (0.10, 0.10, 0.10, 0.10)),
    "near": (Thompson(), (0.10, 0.095, 0.09, 0.08)),
    "clear": (Thompson(), (0.10, 0.05, 0.05, 0.05)),
    "`make run`": (Thompson(), (3 / 201, 2 / 214, 2 / 244, 1 / 214, 1 / 233)),
    "equal pair, even split": (Uniform(), (0.10, 0.10)),
}
RULES = {
    "P(best) ≥ 0.95": StoppingRule(),
    "P(best) ≥ 0.99": StoppingRule(prob_best=0.99),
    "P(best) ≥ 0.95 or loss ≤ 0.0005, from 5,000 on": StoppingRule(
        min_decisions=5_000, min_decisions_per_arm=0, expected_loss=0.0005
    ),
}
COLUMNS = [
    "situation",
    "rule",
    "stopped",
    "winner",
    "practically equal",
    "wrong winner",
    "loss when wrong",
    "mean loss",
    "median decisions",
    "90% stop by",
]

type Rules = dict[str, StoppingRule]
type Played = dict[str, list[Ending]]


def play(
    workers: ProcessPoolExecutor, rules: Rules, policy: Policy, means: Array, decisions: int, prior: tuple[float, float]
) -> Played:
    """Play as many experiments as `means` has rows, under every rule, with the floor of the neutral preset."""
    runs, arms = means.shape
    strategy = Published(policy, every=EVERY, min_weight=preset("neutral", arms).min_weight)
    chunk = partial(
        endings, strategy=strategy, rules=list(rules.values()), decisions=decisions, runs=CHUNK, prior=prior
    )
    seeds = np.random.SeedSequence(arms).spawn(runs // CHUNK)
    chunks = [
        workers.submit(chunk, BernoulliEnvironment(rows), rng=np.random.default_rng(seed))
        for rows, seed in zip(np.split(means, runs // CHUNK), seeds, strict=True)
    ]
    played: Played = {rule: [] for rule in rules}
    for finished in chunks:
        for rule, of_rule in zip(rules, finished.result(), strict=True):
            played[rule] += of_rule
    return played


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def number(value: float | None, spec: str) -> str:
    return "–" if value is None else format(value, spec)


def row(situation: str, rule: str, summary: OperatingCharacteristics) -> list[str]:
    return [
        situation,
        rule,
        percent(summary.stop_rate),
        percent(summary.winner_rate),
        percent(summary.practically_equal_rate),
        percent(summary.wrong_winner_rate),
        number(summary.loss_when_wrong, ".4f"),
        number(summary.mean_loss, ".4f"),
        number(summary.median_decisions, ",.0f"),
        number(summary.ninth_decile_decisions, ",.0f"),
    ]


@pytest.mark.parametrize("name", SITUATIONS)
def test_operating_characteristics(name: str, workers: ProcessPoolExecutor, record: Callable[..., None]) -> None:
    policy, means = SITUATIONS[name]
    played = play(workers, RULES, policy, np.tile(means, (RUNS, 1)), DECISIONS, prior=(1.0, 1.0))
    summaries = {rule: summarise(ended) for rule, ended in played.items()}
    assert all(summary.runs == RUNS for summary in summaries.values())
    if name == "clear":
        assert summaries["P(best) ≥ 0.95"].stop_rate > 0.99
        assert all(summary.wrong_winner_rate < 0.01 for summary in summaries.values())
    record(
        "stopping",
        part=list(SITUATIONS).index(name) + 1,
        of=len(SITUATIONS),
        columns=COLUMNS,
        rows=[row(name, rule, summary) for rule, summary in summaries.items()],
    )


def test_the_word_of_a_rule_is_worth_what_it_says_when_arms_are_drawn_from_the_prior(
    workers: ProcessPoolExecutor, record: Callable[..., None]
) -> None:
    """Wrong winners are as many as the sum of 1 - P(best) at the stops, within 4 standard deviations."""
    prior, runs, decisions = (2.0, 18.0), 4_000, 5_000
    means = np.random.default_rng(1).beta(*prior, (runs, 4))
    rules = {f"P(best) ≥ {level:.2f}": StoppingRule(prob_best=level) for level in (0.8, 0.9, 0.95)}
    rows = []
    for rule, ended in play(workers, rules, Thompson(), means, decisions, prior).items():
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
        columns=["rule", "winners announced", "expected to be wrong: Σ (1 − P(best))", "wrong"],
        rows=rows,
    )
