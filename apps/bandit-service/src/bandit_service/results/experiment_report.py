"""GET /experiments/{id}/report: how traffic went, what is believed, and what both mean in plain words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from bandit_core.findings import ArmNumbers, Findings, find
from bandit_core.holdout import compare
from bandit_core.rules.experiment import Experiment, Status
from bandit_core.rules.problems import Unavailable
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_core.sample_ratio import sample_ratio
from bandit_service.allocation.compute import posteriors, sides
from bandit_service.domain.totals import Totals
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.traffic import TrafficRepository
from bandit_service.results.report import ArmPosterior, PosteriorReport, Reports

WINDOW = 2 * 3_600.0


class ArmReport(BaseModel):
    """One arm's traffic and what is believed of it."""

    arm: str
    index: int = Field(ge=0)
    status: str
    decisions: int = Field(ge=0)
    traffic_share: float | None = Field(description="Of all decisions; null before the first")
    recent_share: float | None = Field(description="Of the decisions in the recent window; null if there were none")
    rewards: int = Field(ge=0)
    reward_sum: float
    mean: float
    interval: tuple[float, float] = Field(description="Equal-tailed 95% credible interval of the mean reward")
    prob_best: float | None
    expected_loss: float | None
    coefficient_norm: float | None = Field(description="Of the arm's linear model; null without one")


class HoldoutReport(BaseModel):
    """The bandit beside the units that always get the control arm. `lift` is relative, 0.1 is 10% more."""

    bandit_decisions: int = Field(ge=0)
    control_decisions: int = Field(ge=0)
    bandit_mean: float
    control_mean: float
    lift: float
    interval: tuple[float, float] = Field(description="Equal-tailed 95% credible interval of the lift")
    difference: float
    difference_interval: tuple[float, float] = Field(description="Equal-tailed 95% credible interval of the difference")
    prob_better: float = Field(ge=0, le=1)
    sample_ratio_p_value: float = Field(
        ge=0, le=1, description="Whether units split as they should; may be looked at as often as one likes"
    )


class ExperimentReport(BaseModel):
    """How an experiment goes."""

    experiment_id: str
    as_of: float = Field(description="When the totals were read, in seconds since the epoch")
    status: Status
    decisions: int = Field(ge=0)
    rewards: int = Field(ge=0)
    leader: str
    converged: bool | None = Field(description="One arm is better than all others; null while too little is known")
    selection_entropy: float = Field(ge=0, le=1, description="1: all arms get the same traffic; 0: one gets all")
    entropy_status: Literal["ok", "warning", "critical"]
    entropy_trend: Literal["stable", "falling", "recovering", "unknown"]
    window: float = Field(
        ge=0, description="Length of the recent window in seconds: two hours, or as long as the experiment is there"
    )
    dominant_arm: str | None = Field(description="The arm that took nearly all traffic of the window; null: none did")
    likely_cause: str | None
    suggested_action: str | None
    findings: list[str]
    arms: list[ArmReport]
    holdout: HoldoutReport | None


class ExperimentReports:
    """Puts together what is believed and how traffic went."""

    def __init__(self, reports: Reports, traffic: TrafficRepository, *, clock: Callable[[], float]) -> None:
        self._reports = reports
        self._traffic = traffic
        self._clock = clock

    async def report(self, served: ServedExperiment) -> ExperimentReport:
        """Return the report of an experiment.

        Raises:
            Unavailable: Postgres does not answer.
        """
        experiment = served.experiment
        posterior, totals = await self._reports.posterior_and_totals(served)
        now = self._clock()
        try:
            selections = await self._traffic.recent_selections(experiment.id, now, WINDOW)
            units = await self._traffic.unit_counts(experiment.id) if experiment.holdout else None
        except PostgresUnavailableError:
            raise Unavailable("Postgres does not answer, and it has the history of decisions", retry_after=1) from None
        norms = _norms(served)
        window = recent_window(experiment.created_at, now)
        found = find(
            [_numbers(arm, selections, norms) for arm in posterior.arms if arm.status == "active"],
            window,
            is_contextual=experiment.is_contextual,
        )
        holdout = None
        if units is not None and not experiment.is_gaussian:
            holdout = await asyncio.to_thread(_holdout, experiment, posterior, totals, units)
        return _assembled(posterior, found, window, selections, norms, holdout)


def recent_window(created_at: float, now: float) -> float:
    """Return for how many seconds traffic counts as recent: no longer than the experiment is there."""
    return min(WINDOW, max(0.0, now - created_at))


def _assembled(
    posterior: PosteriorReport,
    found: Findings,
    window: float,
    selections: Mapping[int, tuple[int, int]],
    norms: Mapping[str, float],
    holdout: HoldoutReport | None,
) -> ExperimentReport:
    recent = sum(counts[0] for counts in selections.values())
    return ExperimentReport(
        experiment_id=posterior.experiment_id,
        as_of=posterior.as_of,
        status=posterior.status,
        decisions=posterior.decisions,
        rewards=sum(arm.rewards for arm in posterior.arms),
        leader=posterior.leader,
        converged=found.converged,
        selection_entropy=found.entropy,
        entropy_status=found.status,
        entropy_trend=found.trend,
        window=window,
        dominant_arm=found.dominant,
        likely_cause=found.likely_cause,
        suggested_action=found.suggested_action,
        findings=list(found.sentences),
        arms=[
            ArmReport(
                arm=arm.arm,
                index=arm.index,
                status=arm.status,
                decisions=arm.decisions,
                traffic_share=arm.decisions / posterior.decisions if posterior.decisions else None,
                recent_share=selections.get(arm.index, (0, 0))[0] / recent if recent else None,
                rewards=arm.rewards,
                reward_sum=arm.reward_sum,
                mean=arm.mean,
                interval=arm.interval,
                prob_best=arm.prob_best,
                expected_loss=arm.expected_loss,
                coefficient_norm=norms.get(arm.arm),
            )
            for arm in posterior.arms
        ],
        holdout=holdout,
    )


def _numbers(arm: ArmPosterior, selections: Mapping[int, tuple[int, int]], norms: Mapping[str, float]) -> ArmNumbers:
    recent, earlier = selections.get(arm.index, (0, 0))
    return ArmNumbers(
        arm.arm,
        arm.decisions,
        recent,
        earlier,
        arm.rewards,
        arm.mean,
        arm.interval,
        arm.prob_best or 0.0,
        norms.get(arm.arm),
    )


def _norms(served: ServedExperiment) -> dict[str, float]:
    if served.linear is None or not served.experiment.is_contextual:
        return {}
    beliefs = served.linear.beliefs
    return dict(zip(beliefs.arms, np.linalg.norm(beliefs.theta, axis=1).tolist(), strict=True))


def _holdout(
    experiment: Experiment, posterior: PosteriorReport, totals: Totals, units: tuple[int, int]
) -> HoldoutReport:
    bandit, control = sides(posteriors(experiment, totals), totals)
    found = compare(bandit, control)
    seen = {"bandit": units[0], "holdout": units[1]}
    shares = {"bandit": 1.0 - experiment.holdout, "holdout": experiment.holdout}
    return HoldoutReport(
        bandit_decisions=posterior.decisions,
        control_decisions=sum(totals.holdout_decisions.values()),
        bandit_mean=found.bandit_mean,
        control_mean=found.control_mean,
        lift=found.lift,
        interval=(found.low, found.high),
        difference=found.difference,
        difference_interval=(found.difference_low, found.difference_high),
        prob_better=found.prob_better,
        sample_ratio_p_value=sample_ratio(seen, shares).p_value,
    )
