"""Rewards: each counted exactly once, in the stratum its decision was made in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import NamedTuple

from bandit_service.api.decisions.events import direct_event, late_event, reward_event
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.api.decisions.recording import Recording
from bandit_service.api.decisions.resolver import DecisionResolver
from bandit_service.api.rewards.schemas import RewardRequest, RewardResponse, RewardStatus
from bandit_service.domain.api_key import Principal
from bandit_service.domain.event import Context, Event
from bandit_service.domain.experiment import MICRO, ArmDefinition
from bandit_service.domain.problems import Conflict, Expired, Invalid
from bandit_service.metrics import Metrics
from bandit_service.serving.arm_selector import logged_context
from bandit_service.serving.selection import SelectionError
from bandit_service.serving.served_experiment import ServedExperiment
from bandit_service.spool.answers import Answer, Duplicate, Queued

# So that sums of squares of millionths stay whole numbers of 64 bits.
MOST_UNITS = 1_000


class Begun(NamedTuple):
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

    async def begin(self, request: RewardRequest, principal: Principal, *, respond_async: bool = False) -> Begun:
        """Hand the reward in without waiting for its outcome, so that a batch shares one statement."""
        _check(request)
        if request.decision_id is None:
            return await self._direct(request, principal, respond_async=respond_async)
        claims, served = await self._resolver.resolve(request.decision_id, request.experiment_id, principal)
        place = claims.at(request.position)
        if place is None:
            raise Invalid.field("position", f"the decision has {len(claims.slate) or 1} position(s), counted from 0")
        arm = served.experiment.arms[place.arm_index]
        if request.arm not in (None, arm.id):
            raise Conflict(f"the decision was for arm {arm.id!r}, not {request.arm!r}; nothing was counted")
        micro = _micro(request, served)
        now_ms = round(self._clock() * 1_000)
        event = reward_event(
            request.decision_id, claims, place, request.position, served, reward_micro=micro, now_ms=now_ms
        )
        if now_ms > claims.decision_ms + served.reward_window_ms:
            return Begun(request, served, arm, micro, await self._late(event, served, arm))
        return Begun(request, served, arm, micro, self._recording.decide(event, respond_async=respond_async))

    async def _late(self, event: Event, served: ServedExperiment, arm: ArmDefinition) -> asyncio.Future[list[Answer]]:
        """Keep a reward that comes too late; one that repeats a reward in time is a duplicate of that.

        Raises:
            Expired: there was no reward in time.
        """
        first = await self._recording.first(event)
        if first is None or first.filled:
            await self._recording.record([late_event(event)])
            self._metrics.rewarded(served.experiment.id, arm.id, "late")
            window = served.experiment.reward_window
            raise Expired(f"the reward window of {window:g} s is over; the reward was kept as late")
        answers: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        answers.set_result([first])
        return answers

    async def finish(self, begun: Begun) -> RewardResponse:
        """Wait for the outcome of a reward that was handed in."""
        request, served, arm, micro, answers = begun
        [answer] = await self._recording.answered(answers)
        experiment = served.experiment
        status, counted = _status(answer, micro)
        self._metrics.rewarded(experiment.id, arm.id, status)
        return RewardResponse(
            status=status,
            experiment_id=experiment.id,
            arm=arm.id,
            decision_id=request.decision_id,
            reward=None if counted is None else counted / MICRO * experiment.unit,
        )

    async def _direct(self, request: RewardRequest, principal: Principal, *, respond_async: bool) -> Begun:
        served = await self._lookup.served(request.experiment_id or "", principal)
        if served.experiment.status == "archived":
            raise Conflict(f"experiment {served.experiment.id!r} is archived")
        arm = _known_arm(served, request.arm or "")
        micro = _micro(request, served)
        segment, context = _direct_context(request, served)
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
        return Begun(request, served, arm, micro, self._recording.decide(event, respond_async=respond_async))


def _status(answer: Answer, micro: int | None) -> tuple[RewardStatus, int | None]:
    """Return what became of a reward, and the value that counts in millionths."""
    match answer:
        case Duplicate(reward_micro=counted):
            return "duplicate", counted
        case Queued():
            return "queued", micro
        case _:
            return ("ignored" if micro is None else "applied"), micro


def _check(request: RewardRequest) -> None:
    if (request.reward is None) == (request.outcome is None):
        raise Invalid.field("reward", "give either reward or outcome")
    if request.decision_id is not None:
        if request.reward_id is not None:
            raise Invalid.field("reward_id", "a reward for a decision_id is counted once by that id")
    elif request.experiment_id is None or request.arm is None:
        missing = "experiment_id" if request.experiment_id is None else "arm"
        raise Invalid.field(missing, "needed without a decision_id")


def _micro(request: RewardRequest, served: ServedExperiment) -> int | None:
    """Return the reward in millionths, rounded once and for all; None for an outcome that is ignored."""
    if request.outcome is None:
        return _number(request.reward or 0.0, served)
    model = served.reward_model
    if model is None:
        raise Invalid.field("outcome", "the experiment has no reward_model: send a reward between 0 and 1")
    try:
        value = model.reward(request.outcome)
    except ValueError as error:
        raise Invalid.field("outcome", str(error)) from None
    return None if value is None else round(value * MICRO)


def _number(reward: float, served: ServedExperiment) -> int:
    if served.experiment.is_gaussian:
        unit = served.experiment.unit
        if abs(reward) > MOST_UNITS * unit:
            raise Invalid.field("reward", f"must lie within {MOST_UNITS:,} units of {unit:g}")
        return round(reward / unit * MICRO)
    if not 0.0 <= reward <= 1.0:
        raise Invalid.field("reward", f"must be a number between 0 and 1, but it is {reward!r}")
    return round(reward * MICRO)


def _direct_context(request: RewardRequest, served: ServedExperiment) -> tuple[str | None, Context | None]:
    """Return the segment and the context of a direct reward: what its experiment needs to learn from it."""
    try:
        context = logged_context(served, request.context)
    except SelectionError as error:
        raise Invalid.field(error.field, error.message) from None
    if not served.experiment.segment_by:
        return None, context
    number = served.segmentation.number(context if isinstance(context, dict) else {})
    return served.segmentation.names[number], context


def _known_arm(served: ServedExperiment, arm_id: str) -> ArmDefinition:
    try:
        return served.experiment.arm(arm_id)
    except KeyError:
        raise Invalid.field("arm", f"experiment {served.experiment.id!r} has no arm {arm_id!r}") from None
