"""The five checks of a running experiment. Each yields a finding for what is wrong, in plain words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bandit_pipeline.monitoring.statistics import drift_p_value
from bandit_pipeline.resources.postgres import Connection, Row, fetch
from bandit_pipeline.sql import statement

MIN_DECISIONS: Final = 100
"""Of fewer decisions the share that got no reward says nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on something is worth a look."""

    alpha: float
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


@dataclass(frozen=True, slots=True)
class Sources:
    """Where checks read: the views of the log, and the service's report of an experiment by its id."""

    connection: Connection
    report: Callable[[str], dict[str, Any]]


type Check = Callable[[Sources, Row, Window, Limits], Iterator[str]]


def sample_ratio(sources: Sources, experiment: Row, _: Window, limits: Limits) -> Iterator[str]:
    """Arms are drawn with the propensities that are logged."""
    for row in _fetch(sources, "sample_ratio", experiment, alpha=limits.alpha):
        yield (
            f"arm {row['arm']} is drawn more often than its propensities say: its {row['arm_draws']:,} decisions stand "
            f"for {row['represented']:,.0f} in all, there were {row['draws']:,} (p = {row['p_value']:.1g})"
        )


def arm_dominance(sources: Sources, experiment: Row, _: Window, __: Limits) -> Iterator[str]:
    """No arm gets nearly all traffic while the experiment still runs."""
    report = sources.report(experiment["experiment_id"])
    if report["dominant_arm"] is not None:
        yield f"{report['dominant_arm']} has taken nearly all traffic of late: is it time to conclude?"


def entropy_collapse(sources: Sources, experiment: Row, _: Window, __: Limits) -> Iterator[str]:
    """Traffic still explores, unless an arm has won."""
    report = sources.report(experiment["experiment_id"])
    if report["entropy_status"] != "ok":
        yield f"the entropy of selections is {report['entropy_status']}: {report['suggested_action']}"


def reward_rate_drift(sources: Sources, experiment: Row, window: Window, limits: Limits) -> Iterator[str]:
    """The rewards of an arm are what they were before."""
    rows = _fetch(sources, "rewards", experiment, since=window.since)
    samples = {(row["arm"], row["recent"]): (row["rewards"], row["total"], row["squares"]) for row in rows}
    arms = sorted({arm for arm, _ in samples})
    for arm in arms:
        recent, before = samples.get((arm, True), (0, 0.0, 0.0)), samples.get((arm, False), (0, 0.0, 0.0))
        p_value = min(1.0, drift_p_value(recent, before) * len(arms))
        if p_value < limits.alpha:
            means = recent[1] / recent[0], before[1] / before[0]
            yield f"{arm} earns {means[0]:.4g} per reward of late, {means[1]:.4g} before (p = {p_value:.1g})"


def missing_rewards(sources: Sources, experiment: Row, window: Window, limits: Limits) -> Iterator[str]:
    """Decisions get their reward before the window closes. Where a missing one means zero, that is no fault."""
    if experiment["missing_reward"] == "zero":
        return
    closed = window.now - timedelta(seconds=experiment["reward_window"])
    [row] = _fetch(sources, "missing", experiment, closed=closed, opened=closed - window.length)
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


def examine(sources: Sources, experiment: Row, window: Window, limits: Limits) -> list[Finding]:
    """Return what is wrong with one experiment; nothing, for one that is well."""
    name = experiment["experiment_id"]
    return [
        Finding(check, name, finding)
        for check, find in CHECKS.items()
        for finding in find(sources, experiment, window, limits)
    ]


def _fetch(sources: Sources, name: str, experiment: Row, **parameters: datetime | float) -> list[Row]:
    wanted = {"experiment_id": experiment["experiment_id"], **parameters}
    return fetch(sources.connection, statement(__package__, name), wanted)
