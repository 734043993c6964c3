"""The five checks of a running experiment. Each yields a finding for what is wrong, in plain words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from bandit_pipeline.monitoring.statistics import drift_p_value, normalised_entropy, sample_ratio_p_values
from bandit_pipeline.resources.postgres import Connection, Row, fetch
from bandit_pipeline.sql import statement

MIN_DECISIONS: Final = 100
"""Fewer decisions in the look-back say nothing about shares."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on something is worth a look."""

    alpha: float
    dominance: float
    entropy: float
    missing: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an experiment."""

    check: str
    experiment_id: str
    finding: str


@dataclass(frozen=True, slots=True)
class Window:
    """What counts as recent."""

    now: datetime
    length: timedelta

    @property
    def since(self) -> datetime:
        return self.now - self.length


type Check = Callable[[Connection, Row, Window, Limits], Iterator[str]]


def sample_ratio(connection: Connection, experiment: Row, _: Window, limits: Limits) -> Iterator[str]:
    """Arms are drawn with the propensities that are logged."""
    rows = _fetch(connection, "draws", experiment)
    if not rows:
        return
    arms, decisions = (np.array([row[name] for row in rows], dtype=np.int64) for name in ("arm_index", "decisions"))
    propensities = np.array([row["propensity"] for row in rows])
    for arm, p_value in sample_ratio_p_values(arms, propensities, decisions).items():
        if p_value < limits.alpha:
            drawn, expected = decisions[arms == arm].sum(), (decisions / propensities)[arms == arm].sum()
            total = decisions.sum()
            yield (
                f"arm {arm} is drawn more often than its propensities say: its {drawn:,} decisions stand for "
                f"{expected:,.0f} in all, there were {total:,} (p = {p_value:.1g})"
            )


def arm_dominance(connection: Connection, experiment: Row, window: Window, limits: Limits) -> Iterator[str]:
    """No arm gets nearly all traffic while the experiment still runs."""
    rows = _fetch(connection, "shares", experiment, since=window.since)
    total = sum(row["decisions"] for row in rows)
    for row in rows if total >= MIN_DECISIONS else []:
        if row["decisions"] > limits.dominance * total:
            yield f"{row['arm']} got {row['decisions'] / total:.1%} of {total:,} decisions: is it time to conclude?"


def entropy_collapse(connection: Connection, experiment: Row, _: Window, limits: Limits) -> Iterator[str]:
    """Published weights still explore."""
    for row in _fetch(connection, "weights", experiment):
        entropy = normalised_entropy(list(row["weights"].values()))
        if entropy < limits.entropy:
            yield f"the weights' entropy is {entropy:.3f} of the largest possible: little is learned any more"


def reward_rate_drift(connection: Connection, experiment: Row, window: Window, limits: Limits) -> Iterator[str]:
    """The rewards of an arm are what they were before."""
    rows = _fetch(connection, "rewards", experiment, since=window.since)
    samples = {(row["arm"], row["recent"]): (row["rewards"], row["total"], row["squares"]) for row in rows}
    arms = sorted({arm for arm, _ in samples})
    for arm in arms:
        recent, before = samples.get((arm, True), (0, 0.0, 0.0)), samples.get((arm, False), (0, 0.0, 0.0))
        p_value = min(1.0, drift_p_value(recent, before) * len(arms))
        if p_value < limits.alpha:
            means = recent[1] / recent[0], before[1] / before[0]
            yield f"{arm} earns {means[0]:.4g} per reward of late, {means[1]:.4g} before (p = {p_value:.1g})"


def missing_rewards(connection: Connection, experiment: Row, window: Window, limits: Limits) -> Iterator[str]:
    """Decisions get their reward before the window closes. Where a missing one means zero, that is no fault."""
    if experiment["missing_reward"] == "zero":
        return
    closed = window.now - timedelta(seconds=experiment["reward_window"])
    [row] = _fetch(connection, "missing", experiment, closed=closed, opened=closed - window.length)
    missing = row["decisions"] - row["rewarded"]
    if row["decisions"] >= MIN_DECISIONS and missing > limits.missing * row["decisions"]:
        yield f"{missing / row['decisions']:.1%} of {row['decisions']:,} decisions whose window closed got no reward"


CHECKS: Final[Mapping[str, Check]] = {
    check.__name__: check
    for check in (sample_ratio, arm_dominance, entropy_collapse, reward_rate_drift, missing_rewards)
}


def experiments(connection: Connection) -> list[Row]:
    """Return the running experiments, and what the checks need to know of each."""
    return fetch(connection, statement(__package__, "experiments"))


def examine(connection: Connection, experiment: Row, window: Window, limits: Limits) -> list[Finding]:
    """Return what is wrong with one experiment; nothing, for one that is well."""
    name = experiment["experiment_id"]
    return [
        Finding(check, name, finding)
        for check, find in CHECKS.items()
        for finding in find(connection, experiment, window, limits)
    ]


def _fetch(connection: Connection, name: str, experiment: Row, **parameters: datetime) -> list[Row]:
    return fetch(connection, statement(__package__, name), {"experiment_id": experiment["experiment_id"], **parameters})
