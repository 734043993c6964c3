"""Rewards: each counted exactly once, in the stratum its decision was made in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import NamedTuple

from bandit_core.rules.decisions import check_not_archived, is_late, rewarded_arm
from bandit_core.rules.experiment import MICRO, ArmDefinition
from bandit_core.rules.requests import RewardRequest, RewardResponse, RewardStatus
from bandit_core.rules.rewards import check_reward, direct_context, known_arm, reward_micro, window_over
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.api.decisions.events import direct_event, late_event, reward_event
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.api.decisions.recording import Recording
from bandit_service.api.decisions.resolver import DecisionResolver
from bandit_service.domain.api_key import Principal
from bandit_service.domain.event import Event
from bandit_service.metrics import Metrics
from bandit_service.spool.answers import Answer, Duplicate, Queued


class BegunReward(NamedTuple):
    """A reward that was handed in."""

    request: RewardRequest
    served: ServedExperiment
    arm: ArmDefinition
    micro: int | None
    answers: asyncio.Future[list[Answer]]


class Rewards:
    """Answers /reward."""

    def __init__(
        self,
        *,
        lookup: ExperimentLookup,
        resolver: DecisionResolver,
        recording: Recording,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        metrics: Metrics,
    ) -> None:
        self._lookup = lookup
        self._resolver = resolver
        self._recording = recording
        self._clock = clock
        self._new_id = new_id
        self._metrics = metrics

    async def reward(
        self, request: RewardRequest, principal: Principal, *, respond_async: bool = False
    ) -> RewardResponse:
        """Apply a reward once, or queue it if that is asked for.

        Raises:
            Invalid, NotFound, Conflict (another arm), Expired (the window is over), Unavailable (no store answers).
        """
        return await self.finish(await self.begin(request, principal, respond_async=respond_async))

    async def begin(self, request: RewardRequest, principal: Principal, *, respond_async: bool = False) -> BegunReward:
        """Hand the reward in without waiting for its outcome, so that a batch shares one statement."""
        check_reward(request)
        if request.decision_id is None:
            return await self._direct(request, principal, respond_async=respond_async)
        claims, served = await self._resolver.resolve(request.decision_id, request.experiment_id, principal)
        place, arm = rewarded_arm(request, claims, served)
        micro = reward_micro(request, served)
        now_ms = round(self._clock() * 1_000)
        event = reward_event(
            request.decision_id, claims, place, request.position, served, reward_micro=micro, now_ms=now_ms
        )
        if is_late(claims, served, now_ms):
            return BegunReward(request, served, arm, micro, await self._late(event, served, arm))
        return BegunReward(request, served, arm, micro, self._recording.decide(event, respond_async=respond_async))

    async def _late(self, event: Event, served: ServedExperiment, arm: ArmDefinition) -> asyncio.Future[list[Answer]]:
        """Keep a reward that comes too late; one that repeats a reward in time is a duplicate of that.

        Raises:
            Expired: there was no reward in time.
        """
        first = await self._recording.first(event)
        if first is None or first.filled:
            await self._recording.record([late_event(event)])
            self._metrics.rewarded(served.experiment.id, arm.id, "late")
            raise window_over(served)
        answers: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        answers.set_result([first])
        return answers

    async def finish(self, begun: BegunReward) -> RewardResponse:
        """Wait for the outcome of a reward that was handed in."""
        request, served, arm, micro, answers = begun
        [answer] = await self._recording.answered(answers)
        experiment = served.experiment
        status: RewardStatus = "ignored" if micro is None else "applied"
        if isinstance(answer, Duplicate):
            status, micro = "duplicate", answer.reward_micro
        elif isinstance(answer, Queued):
            status = "queued"
        self._metrics.rewarded(experiment.id, arm.id, status)
        return RewardResponse(
            status=status,
            experiment_id=experiment.id,
            arm=arm.id,
            decision_id=request.decision_id,
            reward=None if micro is None else micro / MICRO * served.unit,
        )

    async def _direct(self, request: RewardRequest, principal: Principal, *, respond_async: bool) -> BegunReward:
        served = await self._lookup.served(request.experiment_id or "", principal)
        check_not_archived(served.experiment)
        arm = known_arm(served, request.arm or "")
        micro = reward_micro(request, served)
        segment, context = direct_context(request, served)
        event = direct_event(
            # A slash cannot stand in a caller's own decision id, so the two never meet.
            f"direct/{request.reward_id or self._new_id()}",
            served,
            arm_index=arm.index,
            reward_micro=micro,
            segment=segment,
            context=context,
            now_ms=round(self._clock() * 1_000),
            claim=None if request.reward_id is None else json.dumps({"reward_micro": micro}),
        )
        return BegunReward(request, served, arm, micro, self._recording.decide(event, respond_async=respond_async))
