"""One experiment in memory: the service's own rules, real posteriors, each reward once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from msgspec.structs import replace

from bandit_core.allocation import Allocation, ArmState, allocate
from bandit_core.policies.base import Beliefs
from bandit_core.posteriors import BetaPosterior
from bandit_core.rules import transitions
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.arm_selector import ArmSelector
from bandit_core.rules.decisions import (
    DecisionClaims,
    check_activation,
    check_not_archived,
    check_select,
    claims_of,
    is_late,
    rewarded_arm,
    select_response,
)
from bandit_core.rules.experiment import MICRO, ArmDefinition, Experiment
from bandit_core.rules.experiment_requests import NewExperiment
from bandit_core.rules.problems import Invalid, NotFound
from bandit_core.rules.records import ArmSnapshot, SnapshotReport, SnapshotRequest
from bandit_core.rules.requests import RewardRequest, RewardResponse, SelectRequest, SelectResponse
from bandit_core.rules.rewards import check_reward, known_arm, reward_micro, window_over
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_core.rules.treatment import AWAITED, LEARNT_STRATA, treat_reward
from bandit_core.rules.vectors import guardrails_of, policy_of

type Transition = Callable[[Experiment], Experiment]


@dataclass(slots=True)
class Decision:
    """What was decided, the rewards by position in millionths, and those of them that wait for the activation."""

    claims: DecisionClaims
    answer: SelectResponse
    is_active: bool
    rewards: dict[int, int | None] = field(default_factory=dict)
    waiting: list[tuple[int, int]] = field(default_factory=list)


class MemoryExperiment:
    """An experiment and everything that happened to it. Times are seconds since the epoch."""

    def __init__(self, request: NewExperiment, selector: ArmSelector, now: float) -> None:
        self.experiment = transitions.created(request, now=now, salt="00" * 16)
        _check_known(self.experiment)
        self.posteriors = {arm.index: _prior(arm) for arm in self.experiment.arms}
        self._selector = selector
        self.decisions: dict[str, Decision] = {}
        self._requests: dict[str, str] = {}
        self._direct: dict[str, int | None] = {}
        self._computed: tuple[AllocationRecord, Allocation] | None = None
        self._is_stale = True
        self._newest = SnapshotReport(experiment_id=self.experiment.id, taken=False, taken_at=None, arms=())
        self._events_then = 0

    def change(self, transition: Transition, expected_revision: int | None = None) -> None:
        """Change the definition, as far as the revision that was named allows it."""
        transitions.check_revision(self.experiment, expected_revision)
        after = transition(self.experiment)
        _check_known(after)
        self.posteriors = {arm.index: _prior(arm) for arm in after.arms} | self.posteriors
        if after != self.experiment:
            self.experiment = replace(after, revision=after.revision + 1)
            self._is_stale = True

    def beliefs(self) -> Beliefs:
        active = self.experiment.active_arms
        known = [self.posteriors[arm.index] for arm in active]
        alpha, beta = np.array([each.alpha for each in known]), np.array([each.beta for each in known])
        return Beliefs(tuple(arm.id for arm in active), alpha, beta)

    def allocation(self, now: float) -> tuple[AllocationRecord, Allocation]:
        """Return the weights and their explanation, computed anew if rewards have come since."""
        if self._computed is None or self._is_stale:
            self._computed = self._compute(None if self._computed is None else self._computed[0], now)
            self._is_stale = False
        return self._computed

    def served(self, now: float) -> ServedExperiment:
        return ServedExperiment(self.experiment, self.allocation(now)[0])

    def select(self, request: SelectRequest, new_id: Callable[[], str], now: float) -> SelectResponse:
        """Make a decision, or repeat the one of that decision id or request id."""
        served = self.served(now)
        check_select(request, self.experiment)
        selection = self._selector.select(served, request)
        known = request.decision_id or self._requests.get(request.request_id or "")
        if known in self.decisions:
            return self.decisions[known].answer
        decision_id = request.decision_id or new_id()
        claims = claims_of(request, selection, served, round(now * 1_000))
        answer = select_response(decision_id, claims, served, slate_propensity=selection.slate_propensity)
        self.decisions[decision_id] = Decision(claims, answer, is_active=not claims.deferred)
        if request.request_id is not None:
            self._requests[request.request_id] = decision_id
        return answer

    def reward(self, request: RewardRequest, now: float, *, is_queued: bool = False) -> RewardResponse:
        """Count a reward once; one that is queued is only checked."""
        check_reward(request)
        served = self.served(now)
        decision = None if request.decision_id is None else self._found(request.decision_id)
        if decision is None:
            check_not_archived(self.experiment)
            arm = known_arm(served, request.arm or "")
        else:
            _, arm = rewarded_arm(request, decision.claims, served)
        micro = reward_micro(request, served)
        rewards, key = (self._direct, request.reward_id) if decision is None else (decision.rewards, request.position)
        is_new = key is None or key not in rewards
        if decision is not None and is_new and is_late(decision.claims, served, round(now * 1_000)):
            raise window_over(served)
        status = "queued" if is_queued else "duplicate" if not is_new else "ignored" if micro is None else "applied"
        counted = rewards[key] if status == "duplicate" else micro  # type: ignore[index]
        if is_new and not is_queued:
            if key is not None:
                rewards[key] = micro  # type: ignore[index]
            self._treat(decision, arm.index, micro, now)
        value = None if counted is None else counted / MICRO
        return RewardResponse(
            status=status,  # type: ignore[arg-type]  # one of the four above
            experiment_id=self.experiment.id,
            arm=arm.id,
            decision_id=request.decision_id,
            reward=value,
        )

    def activate(self, decision_id: str, now: float) -> bool:
        """Count a deferred decision from now on, with the reward it may have got; return whether that is new."""
        decision = self._found(decision_id)
        check_activation(decision.claims, self.served(now), round(now * 1_000))
        is_new, decision.is_active = not decision.is_active, True
        while decision.waiting:
            self._learn(*decision.waiting.pop())
        return is_new

    def snapshot(self, request: SnapshotRequest, now: float) -> SnapshotReport:
        """Keep the posteriors of this moment, if enough was counted since the last ones; return the newest."""
        shown = [each for each in self.decisions.values() if each.is_active and each.claims.stratum in AWAITED]
        held_out = [each for each in shown if each.claims.stratum == "holdout"]
        events = sum(len(each.claims.places) for each in shown)
        events += sum(reward is not None for each in held_out for reward in each.rewards.values())
        events += sum(round(each.trials) for each in self.posteriors.values())
        if is_due := events - self._events_then >= request.min_events:
            arms = tuple(self._arm_snapshot(arm) for arm in self.experiment.arms)
            at = datetime.fromtimestamp(now, UTC)
            self._newest = SnapshotReport(experiment_id=self.experiment.id, taken=True, taken_at=at, arms=arms)
            self._events_then = events
        return replace(self._newest, taken=is_due)

    def shown(self, arm_index: int) -> int:
        """Return how often an arm was shown by a decision of the bandit, at whatever position."""
        return sum(
            place.arm_index == arm_index
            for decision in self.decisions.values()
            if decision.is_active and decision.claims.stratum == "bandit"
            for place in decision.claims.places
        )

    def _arm_snapshot(self, arm: ArmDefinition) -> ArmSnapshot:
        known = self.posteriors[arm.index]
        counts = (self.shown(arm.index), round(known.trials), known.successes)
        return ArmSnapshot(arm.id, known.alpha, known.beta, known.mean, *counts)

    def _treat(self, decision: Decision | None, arm_index: int, micro: int | None, now: float) -> None:
        claims = None if decision is None else decision.claims
        stratum = "direct" if claims is None else claims.stratum
        at_ms = round(now * 1_000) if claims is None else claims.decision_ms
        deferred = claims is not None and claims.deferred
        treatment = treat_reward(self.experiment, stratum, at_ms, micro, deferred=deferred)
        if micro is None or stratum not in LEARNT_STRATA:
            return
        if treatment.counted or (treatment.settles and decision is not None and decision.is_active):
            self._learn(arm_index, micro)
        elif treatment.settles and decision is not None:
            decision.waiting.append((arm_index, micro))

    def _learn(self, arm_index: int, micro: int) -> None:
        self.posteriors[arm_index] = self.posteriors[arm_index].update(micro / MICRO)
        self._is_stale = True

    def _found(self, decision_id: str) -> Decision:
        if decision_id not in self.decisions:
            raise NotFound(f"there is no decision {decision_id!r} in experiment {self.experiment.id!r}")
        return self.decisions[decision_id]

    def _compute(self, before: AllocationRecord | None, now: float) -> tuple[AllocationRecord, Allocation]:
        active = self.experiment.active_arms
        states = [(arm, self.posteriors[arm.index]) for arm in active]
        allocation = allocate(
            arms=[ArmState(arm.id, each.alpha, each.beta, each.trials, newcomer=arm.newcomer) for arm, each in states],
            policy=policy_of(self.experiment),
            guardrails=guardrails_of(self.experiment.guardrails, len(active)),
            previous=None if before is None else dict(before.weights),
            seconds_since_change=None if before is None else now - before.changed_at,
        )
        best, names = allocation.best_arm, list(allocation.weights)
        has_moved = before is None or before.weights != allocation.weights
        record = AllocationRecord(
            version=1 if before is None else before.version + 1,
            revision=self.experiment.revision,
            published_at=now,
            changed_at=now if before is None or has_moved else before.changed_at,
            weights=allocation.weights,
            prob_best=dict(zip(names, best.prob_best.tolist(), strict=True)),
            expected_loss=dict(zip(names, best.expected_loss.tolist(), strict=True)),
            beliefs={arm.id: (each.alpha, each.beta) for arm, each in states},
        )
        return record, allocation


def _prior(arm: ArmDefinition) -> BetaPosterior:
    return BetaPosterior(arm.prior_alpha_micro / MICRO, arm.prior_beta_micro / MICRO)


def _check_known(experiment: Experiment) -> None:
    """Raise Invalid for what the service in memory does not have, so that no test passes by a feature it lacks."""
    missing = {
        "policy": experiment.is_contextual,
        "context": experiment.context is not None,
        "segment_by": bool(experiment.segment_by),
        "rewards": experiment.is_gaussian,
        "missing_reward": experiment.missing_reward != "ignore",
        "stopping": experiment.stopping is not None,
    }
    for name, is_missing in missing.items():
        if is_missing:
            raise Invalid.field(name, "the service in memory does not have this")
