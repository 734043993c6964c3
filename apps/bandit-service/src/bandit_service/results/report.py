"""What the service believes and does about an experiment, as GET requests show it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from bandit_core.allocation import Explanation
from bandit_core.posteriors import BetaPosterior
from bandit_core.stopping import Verdict
from bandit_service.allocation.compute import Posterior, beliefs_of, judge, posteriors
from bandit_service.domain.allocation import decode_allocation
from bandit_service.domain.experiment import Experiment, Status
from bandit_service.domain.problems import Unavailable
from bandit_service.domain.vectors import gaussian_beliefs
from bandit_service.redis_store.state import BeliefCounts
from bandit_service.redis_store.store import RedisStore
from bandit_service.serving.serving import Serving

_CREDIBLE = 0.95


class ArmPosterior(BaseModel):
    """What is believed of one arm. Retired arms keep their posterior, but cannot be best."""

    arm: str
    index: int = Field(ge=0)
    status: str
    alpha: float | None = Field(gt=0, description="Of the Beta posterior; null where rewards are gaussian")
    beta: float | None = Field(gt=0)
    mean: float
    interval: tuple[float, float] = Field(description="Equal-tailed 95% credible interval of the mean reward")
    prob_best: float | None = Field(description="Probability that the arm is the best of those that can be served")
    expected_loss: float | None = Field(description="Expected reward given up by always choosing this arm")
    weight: float = Field(ge=0, le=1, description="Published weight")
    decisions: int = Field(ge=0)
    rewards: int = Field(ge=0, description="How many rewards entered the posterior")
    reward_sum: float


class PosteriorReport(BaseModel):
    """The beliefs of an experiment at one moment."""

    experiment_id: str
    status: Status
    weights_version: int = Field(ge=0)
    leader: str
    expected_loss: float = Field(ge=0, description="Of the arm that has the least")
    decisions: int = Field(ge=0)
    arms: list[ArmPosterior]


class AllocationReport(BaseModel):
    """The published weights, and why they are what they are."""

    experiment_id: str
    weights_version: int = Field(ge=0)
    published_at: float = Field(description="Seconds since the epoch")
    changed_at: float = Field(description="When a weight last moved")
    weights: dict[str, float]
    summary: str
    explanation: dict[str, Any]


class ConditionReport(BaseModel):
    """One condition of the stopping rule as it stands."""

    name: str
    value: float
    threshold: float
    holds: bool
    progress: float = Field(ge=0, le=1)
    arm: str | None = None


class ConclusionReport(BaseModel):
    """What the stopping rule says now, or what was concluded."""

    experiment_id: str
    status: Status
    winner: str | None
    stop: bool
    outcome: str
    arm: str | None
    sentence: str
    progress: float = Field(ge=0, le=1)
    conditions: list[ConditionReport]


class Reports:
    """Reads the store and says what is there."""

    def __init__(self, store: RedisStore, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def posterior(self, serving: Serving) -> PosteriorReport:
        return (await self.posterior_and_counts(serving))[0]

    async def posterior_and_counts(self, serving: Serving) -> tuple[PosteriorReport, BeliefCounts]:
        """Return what is believed, and the counts it is believed from."""
        counts = await self._counts(serving.experiment)
        return await asyncio.to_thread(_posterior_report, serving, counts), counts

    async def allocation(self, serving: Serving) -> AllocationReport:
        allocation, explanation = await self._store.allocation_and_explanation(serving.experiment.id)
        if allocation is None or explanation is None:
            raise Unavailable("no weights have been published yet", retry_after=1)
        record, details = decode_allocation(allocation), json.loads(explanation)
        return AllocationReport(
            experiment_id=serving.experiment.id,
            weights_version=record.version,
            published_at=record.published_at,
            changed_at=record.changed_at,
            weights=dict(record.weights),
            summary=Explanation.from_dict(details).paragraph(),
            explanation=details,
        )

    async def conclusion(self, serving: Serving) -> ConclusionReport:
        experiment = serving.experiment
        verdict = await self.verdict(experiment)
        if verdict is None:
            return _without_rule(experiment)
        concluded = experiment.conclusion
        return ConclusionReport(
            experiment_id=experiment.id,
            status=experiment.status,
            winner=experiment.winner,
            stop=verdict.stop or concluded is not None,
            outcome=concluded.outcome if concluded else verdict.outcome,
            arm=experiment.winner if concluded else verdict.arm,
            sentence=concluded.why if concluded else verdict.sentence(),
            progress=1.0 if concluded else verdict.progress,
            conditions=[ConditionReport(**condition) for condition in verdict.to_dict()["conditions"]],
        )

    async def verdict(self, experiment: Experiment) -> Verdict | None:
        """Return what the stopping rule says now; None for an experiment without one."""
        return await asyncio.to_thread(judge, experiment, await self._counts(experiment), self._clock())

    async def _counts(self, experiment: Experiment) -> BeliefCounts:
        counts = await self._store.beliefs(experiment.id, len(experiment.arms))
        if counts.state.epoch is None:
            raise Unavailable("the store is being refilled from Postgres", retry_after=1)
        return counts


def _posterior_report(serving: Serving, counts: BeliefCounts) -> PosteriorReport:
    experiment = serving.experiment
    known = posteriors(experiment, counts)
    beliefs = beliefs_of(experiment, known)
    unit = experiment.unit
    best = beliefs.best_arm
    prob_best = dict(zip(beliefs.arms, best.prob_best.tolist(), strict=True))
    losses = dict(zip(beliefs.arms, (best.expected_loss * unit).tolist(), strict=True))
    weights = serving.allocation.weights if serving.allocation else {}
    return PosteriorReport(
        experiment_id=experiment.id,
        status=experiment.status,
        weights_version=serving.weights_version,
        leader=beliefs.arms[best.leader],
        expected_loss=max(0.0, min(losses.values())),
        decisions=sum(each.decisions for each in known),
        arms=[
            _arm(each, estimate, prob_best.get(each.arm.id), losses.get(each.arm.id), weights.get(each.arm.id, 0.0))
            for each, estimate in zip(known, _estimates(experiment, known), strict=True)
        ],
    )


class _Estimate(NamedTuple):
    alpha: float | None
    beta: float | None
    mean: float
    interval: tuple[float, float]
    reward_sum: float


def _estimates(experiment: Experiment, known: Sequence[Posterior]) -> list[_Estimate]:
    """Return what is believed of every arm's mean reward, in the units rewards are sent in."""
    if not experiment.is_gaussian:
        return [_estimate_of_rate(each) for each in known]
    unit = experiment.unit
    parameters = np.array([each.parameters(experiment) for each in known])
    beliefs = gaussian_beliefs(experiment, [each.arm.id for each in known], parameters)
    low, high = beliefs.interval(_CREDIBLE)
    columns = zip(known, beliefs.mean.tolist(), low.tolist(), high.tolist(), strict=True)
    return [
        _Estimate(None, None, mean * unit, (least * unit, most * unit), each.alpha * unit)
        for each, mean, least, most in columns
    ]


def _estimate_of_rate(each: Posterior) -> _Estimate:
    interval = BetaPosterior(each.alpha, each.beta).interval(_CREDIBLE)
    return _Estimate(each.alpha, each.beta, each.mean, (interval.low, interval.high), each.reward_sum)


def _arm(
    each: Posterior, estimate: _Estimate, prob_best: float | None, loss: float | None, weight: float
) -> ArmPosterior:
    return ArmPosterior(
        arm=each.arm.id,
        index=each.arm.index,
        status=each.arm.status,
        alpha=estimate.alpha,
        beta=estimate.beta,
        mean=estimate.mean,
        interval=estimate.interval,
        prob_best=prob_best,
        expected_loss=None if loss is None else max(0.0, loss),
        weight=weight,
        decisions=each.decisions,
        rewards=each.rewards,
        reward_sum=estimate.reward_sum,
    )


def _without_rule(experiment: Experiment) -> ConclusionReport:
    concluded = experiment.conclusion
    return ConclusionReport(
        experiment_id=experiment.id,
        status=experiment.status,
        winner=experiment.winner,
        stop=concluded is not None,
        outcome=concluded.outcome if concluded else "undecided",
        arm=experiment.winner,
        sentence=concluded.why if concluded else "undecided: the experiment has no stopping rule",
        progress=1.0 if concluded else 0.0,
        conditions=[],
    )
