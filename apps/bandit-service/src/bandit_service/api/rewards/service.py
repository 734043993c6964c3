"""Rewards: each counted exactly once, in the stratum its decision was made in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from bandit_service.api.decisions.intake import Intake
from bandit_service.api.decisions.tickets import Tickets
from bandit_service.api.rewards.schemas import RewardRequest, RewardResponse, RewardStatus
from bandit_service.domain.api_key import Principal
from bandit_service.domain.decision_id import Place, Ticket
from bandit_service.domain.event import Circumstances, EventRecord
from bandit_service.domain.experiment import MICRO, ArmDefinition
from bandit_service.domain.problems import Conflict, Expired, Invalid, NotFound
from bandit_service.events.operations import DUPLICATE, LATE, NO_CONTEXT, NOT_ACTIVATED, Reward, RewardMode
from bandit_service.metrics import Metrics
from bandit_service.serving.choice import DemandError
from bandit_service.serving.chooser import logged_context
from bandit_service.serving.serving import Serving

# So that sums of squares of millionths stay whole numbers of 64 bits.
MOST_UNITS = 1_000


class Begun(NamedTuple):
    """A reward that was handed in."""

    request: RewardRequest
    serving: Serving
    arm: ArmDefinition
    micro: int | None
    future: asyncio.Future[int]


class Rewards:
    """Answers /reward."""

    def __init__(
        self,
        *,
        intake: Intake,
        tickets: Tickets,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        metrics: Metrics,
    ) -> None:
        self._intake = intake
        self._tickets = tickets
        self._clock = clock
        self._new_id = new_id
        self._metrics = metrics

    async def reward(self, request: RewardRequest, principal: Principal) -> RewardResponse:
        """Apply a reward once.

        Raises:
            Invalid, NotFound, Conflict (not activated yet), Expired (the window is over), Unavailable (no store).
        """
        return await self.finish(await self.begin(request, principal))

    async def begin(self, request: RewardRequest, principal: Principal) -> Begun:
        """Hand the reward in without waiting for its outcome, so that a batch shares one commit."""
        _check(request)
        if request.decision_id is None:
            return await self._direct(request, principal)
        ticket, serving = await self._tickets.find(request.decision_id, request.experiment_id, principal)
        place = ticket.at(request.position)
        if place is None:
            raise Invalid.field("position", f"the decision has {len(ticket.slate) or 1} position(s), counted from 0")
        experiment, arm = serving.experiment, serving.experiment.arms[place.arm_index]
        if request.arm not in (None, arm.id):
            raise Conflict(f"the decision was for arm {arm.id!r}, not {request.arm!r}; nothing was counted")
        micro = _micro(request, serving)
        mode = _mode(ticket, serving)
        operation = Reward(
            self._record(request.decision_id, ticket, place, request.position, micro, serving),
            mode=mode,
            deadline_ms=ticket.decision_ms + serving.reward_window_ms,
            needs_activation=ticket.deferred,
            needs_context=experiment.is_contextual and mode == "b",
            is_gaussian=experiment.is_gaussian,
            segment=ticket.segment,
        )
        return Begun(request, serving, arm, micro, self._intake.submit(operation, serving))

    async def finish(self, begun: Begun) -> RewardResponse:
        """Wait for the outcome of a reward that was handed in."""
        request, serving, arm, micro, future = begun
        outcome = await self._intake.outcome(future)
        experiment = serving.experiment
        if outcome == LATE:
            self._metrics.rewarded(experiment.id, arm.id, "late")
            raise Expired(f"the reward window of {experiment.reward_window:g} s is over; the reward was kept as late")
        if outcome == NOT_ACTIVATED:
            raise Conflict("the decision was deferred: it needs POST /activate before its reward")
        if outcome == NO_CONTEXT:
            await self._intake.check_remembers(serving)
            raise NotFound("the decision was never recorded, so its context is not known and nothing can be learnt")
        status: RewardStatus = "duplicate" if outcome == DUPLICATE else "ignored" if micro is None else "applied"
        self._metrics.rewarded(experiment.id, arm.id, status)
        return RewardResponse(
            status=status,
            experiment_id=experiment.id,
            arm=arm.id,
            decision_id=request.decision_id,
            reward=None if micro is None else micro / MICRO * experiment.unit,
        )

    async def _direct(self, request: RewardRequest, principal: Principal) -> Begun:
        serving = await self._intake.serving(request.experiment_id or "", principal)
        if serving.experiment.status == "archived":
            raise Conflict(f"experiment {serving.experiment.id!r} is archived")
        arm = _known_arm(serving, request.arm or "")
        micro = _micro(request, serving)
        segment, circumstances = _direct_context(request, serving)
        now_ms = round(self._clock() * 1_000)
        # A slash cannot stand in a caller's own decision id, so the two never meet.
        name = f"direct/{request.reward_id or self._new_id()}"
        operation = Reward(
            EventRecord(name, now_ms, now_ms, arm.index, "direct", reward_micro=micro, circumstances=circumstances),
            mode="b",
            deadline_ms=None,
            marked=request.reward_id is not None,
            is_gaussian=serving.experiment.is_gaussian,
            segment=segment,
        )
        return Begun(request, serving, arm, micro, self._intake.submit(operation, serving))

    def _record(
        self, decision_id: str, ticket: Ticket, place: Place, position: int, micro: int | None, serving: Serving
    ) -> EventRecord:
        segment = None if ticket.segment is None else serving.segmentation.names[ticket.segment]
        return EventRecord(
            decision_id,
            ticket.decision_ms,
            round(self._clock() * 1_000),
            place.arm_index,
            ticket.stratum,
            place.propensity,
            micro,
            ticket.weights_version,
            ticket.deferred,
            None,
            position,
            None if ticket.vector == "published" and segment is None else Circumstances(ticket.vector, segment),
        )


def _check(request: RewardRequest) -> None:
    if (request.reward is None) == (request.outcome is None):
        raise Invalid.field("reward", "give either reward or outcome")
    if request.decision_id is not None:
        if request.reward_id is not None:
            raise Invalid.field("reward_id", "a reward for a decision_id is counted once by that id")
    elif request.experiment_id is None or request.arm is None:
        missing = "experiment_id" if request.experiment_id is None else "arm"
        raise Invalid.field(missing, "needed without a decision_id")


def _micro(request: RewardRequest, serving: Serving) -> int | None:
    """Return the reward in millionths, rounded once and for all; None for an outcome that is ignored."""
    if request.outcome is None:
        return _number(request.reward or 0.0, serving)
    model = serving.reward_model
    if model is None:
        raise Invalid.field("outcome", "the experiment has no reward_model: send a reward between 0 and 1")
    try:
        value = model.reward(request.outcome)
    except ValueError as error:
        raise Invalid.field("outcome", str(error)) from None
    return None if value is None else round(value * MICRO)


def _number(reward: float, serving: Serving) -> int:
    if serving.experiment.is_gaussian:
        unit = serving.experiment.unit
        if abs(reward) > MOST_UNITS * unit:
            raise Invalid.field("reward", f"must lie within {MOST_UNITS:,} units of {unit:g}")
        return round(reward / unit * MICRO)
    if not 0.0 <= reward <= 1.0:
        raise Invalid.field("reward", f"must be a number between 0 and 1, but it is {reward!r}")
    return round(reward * MICRO)


def _direct_context(request: RewardRequest, serving: Serving) -> tuple[int | None, Circumstances | None]:
    """Return the segment and the circumstances of a direct reward: what its experiment needs to learn from it."""
    try:
        context = logged_context(serving, request.context)
    except DemandError as error:
        raise Invalid.field(error.field, error.message) from None
    segment = None
    if serving.experiment.segment_by:
        segment = serving.segmentation.number(context if isinstance(context, dict) else {})
    if context is None and segment is None:
        return None, None
    name = None if segment is None else serving.segmentation.names[segment]
    return segment, Circumstances(segment=name, context=context)


def _mode(ticket: Ticket, serving: Serving) -> RewardMode:
    if ticket.stratum == "holdout":
        return "h"
    if ticket.stratum != "bandit":
        return "n"
    return "z" if serving.experiment.missing_reward == "zero" else "b"


def _known_arm(serving: Serving, arm_id: str) -> ArmDefinition:
    try:
        return serving.experiment.arm(arm_id)
    except KeyError:
        raise Invalid.field("arm", f"experiment {serving.experiment.id!r} has no arm {arm_id!r}") from None
