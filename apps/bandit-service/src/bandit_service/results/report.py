"""What the service believes and does about an experiment, as GET requests show it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, Field

from bandit_core.allocation import Explanation
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import Experiment, Status
from bandit_core.rules.problems import Unavailable
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_core.stopping import Verdict
from bandit_service.allocation.assessment import Estimate, beliefs_by_arm, estimates
from bandit_service.allocation.compute import Posterior, beliefs_of, judge, posteriors
from bandit_service.domain.totals import Totals
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.totals import TotalsRepository
from bandit_service.ledger.weights import WeightsRepository
from bandit_service.mirror.errors import StoreUnavailableError
from bandit_service.mirror.publication import Mirror

_CATCH_UP_SECONDS = 1.0


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
    as_of: float = Field(description="When the totals were read, in seconds since the epoch")
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
    as_of: float = Field(description="When the totals were read, in seconds since the epoch")
    status: Status
    winner: str | None
    stop: bool
    outcome: str
    arm: str | None
    sentence: str
    progress: float = Field(ge=0, le=1)
    conditions: list[ConditionReport]


class Reports:
    """Reads the ledger, and the mirror while Postgres is away, and says what is there.

    `caught_up` waits until what this process took of an experiment is written and settled, so many seconds at most.
    """

    def __init__(
        self,
        *,
        totals: TotalsRepository,
        weights: WeightsRepository,
        mirror: Mirror,
        clock: Callable[[], float],
        caught_up: Callable[[str, float], Awaitable[None]],
    ) -> None:
        self._caught_up = caught_up
        self._totals = totals
        self._weights = weights
        self._mirror = mirror
        self._clock = clock

    async def posterior(self, served: ServedExperiment) -> PosteriorReport:
        return (await self.posterior_and_totals(served))[0]

    async def posterior_and_totals(self, served: ServedExperiment) -> tuple[PosteriorReport, Totals]:
        """Return what is believed, and the totals it is believed from.

        Raises:
            Unavailable: neither Postgres nor the mirror has them.
        """
        totals = await self._read(served.experiment.id)
        return await asyncio.to_thread(_posterior_report, served, totals), totals

    async def allocation(self, served: ServedExperiment) -> AllocationReport:
        """Return the weights in force with their explanation.

        Raises:
            Unavailable: there are none yet, or neither Postgres nor the mirror has them.
        """
        record, details = await self._explained(served.experiment.id)
        return AllocationReport(
            experiment_id=served.experiment.id,
            weights_version=record.version,
            published_at=record.published_at,
            changed_at=record.changed_at,
            weights=dict(record.weights),
            summary=Explanation.from_dict(details).paragraph(),
            explanation=details,
        )

    async def conclusion(self, served: ServedExperiment) -> ConclusionReport:
        """Return what the stopping rule says now, or what was concluded.

        Raises:
            Unavailable: neither Postgres nor the mirror has the totals.
        """
        experiment, totals = served.experiment, await self._read(served.experiment.id)
        verdict = await asyncio.to_thread(judge, experiment, totals, self._clock())
        if verdict is None:
            return _without_rule(experiment, totals.as_of)
        concluded = experiment.conclusion
        return ConclusionReport(
            experiment_id=experiment.id,
            as_of=totals.as_of,
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
        """Return what the stopping rule says now; None for an experiment without one.

        Raises:
            Unavailable: neither Postgres nor the mirror has the totals.
        """
        return await asyncio.to_thread(judge, experiment, await self._read(experiment.id), self._clock())

    async def _read(self, experiment_id: str) -> Totals:
        # Who has just sent something to this process finds it counted.
        await self._caught_up(experiment_id, _CATCH_UP_SECONDS)
        try:
            return (await self._totals.read([experiment_id])).totals[experiment_id]
        except PostgresUnavailableError:
            mirrored = await self._mirrored(self._mirror.beliefs(experiment_id))
            if mirrored is None:
                raise Unavailable("Postgres does not answer, and it has what was counted", retry_after=1) from None
            return mirrored

    async def _explained(self, experiment_id: str) -> tuple[AllocationRecord, dict[str, Any]]:
        try:
            found = (await self._weights.explained([experiment_id])).get(experiment_id)
            explained = None if found is None else (found.record, found.explanation)
        except PostgresUnavailableError:
            explained = await self._mirrored(self._mirror.explained(experiment_id))
        if explained is None:
            raise Unavailable("no weights have been published yet", retry_after=1)
        return explained

    async def _mirrored[Value](self, read: Awaitable[Value | None]) -> Value | None:
        try:
            return await read
        except StoreUnavailableError:
            return None


def _posterior_report(served: ServedExperiment, totals: Totals) -> PosteriorReport:
    experiment = served.experiment
    known = posteriors(experiment, totals)
    beliefs = beliefs_of(experiment, known)
    by_arm = beliefs_by_arm(beliefs)
    weights = served.allocation.weights if served.allocation else {}
    return PosteriorReport(
        experiment_id=experiment.id,
        as_of=totals.as_of,
        status=experiment.status,
        weights_version=served.weights_version,
        leader=beliefs.arms[beliefs.best_arm.leader],
        expected_loss=min(loss for _, loss in by_arm.values()),
        decisions=sum(each.decisions for each in known),
        arms=[
            _arm(each, estimate, by_arm.get(each.arm.id), weights.get(each.arm.id, 0.0))
            for each, estimate in zip(known, estimates(experiment, known), strict=True)
        ],
    )


def _arm(each: Posterior, estimate: Estimate, beliefs: tuple[float, float] | None, weight: float) -> ArmPosterior:
    prob_best, loss = beliefs or (None, None)
    return ArmPosterior(
        arm=each.arm.id,
        index=each.arm.index,
        status=each.arm.status,
        alpha=estimate.density.get("alpha"),
        beta=estimate.density.get("beta"),
        mean=estimate.mean,
        interval=estimate.interval,
        prob_best=prob_best,
        expected_loss=loss,
        weight=weight,
        decisions=each.decisions,
        rewards=each.rewards,
        reward_sum=estimate.reward_sum,
    )


def _without_rule(experiment: Experiment, as_of: float) -> ConclusionReport:
    concluded = experiment.conclusion
    return ConclusionReport(
        experiment_id=experiment.id,
        as_of=as_of,
        status=experiment.status,
        winner=experiment.winner,
        stop=concluded is not None,
        outcome=concluded.outcome if concluded else "undecided",
        arm=experiment.winner,
        sentence=concluded.why if concluded else "undecided: the experiment has no stopping rule",
        progress=1.0 if concluded else 0.0,
        conditions=[],
    )
