"""One experiment in memory: real posteriors, real policies and guardrails, each reward once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from bandit_core.allocation import Allocation, ArmState, allocate
from bandit_core.assignment import draw
from bandit_core.guardrails import Guardrails, preset, project
from bandit_core.policies import make_policy
from bandit_core.policies.base import Beliefs
from bandit_core.posteriors import BetaPosterior
from bandit_core.rewards import check_reward, make_reward_model
from bandit_core.slates import Slate, draw_slate
from bandit_sdk.testing.bodies import Arm, Limits, NewExperiment, Reward, Select
from bandit_sdk.testing.refusal import Refusal, wrong

type Status = Literal["running", "paused", "concluded", "archived"]


@dataclass(slots=True)
class Decision:
    """What was decided, and with which number each of its positions was rewarded.

    `joint` is the probability of a whole slate; `waiting` are rewards that count once the decision is activated.
    """

    id: str
    arms: tuple[str, ...]
    propensities: tuple[float, ...]
    stratum: str
    at: float
    version: int
    is_active: bool
    vector: str = "published"
    joint: float | None = None
    rewarded: dict[int, float | None] = field(default_factory=dict)
    waiting: list[float] = field(default_factory=list)


class MemoryExperiment:
    """An experiment and everything that happened to it. `now` is in seconds since the epoch."""

    def __init__(self, definition: NewExperiment, now: float) -> None:
        arms = [Arm(id=arm) if isinstance(arm, str) else arm for arm in definition.arms]
        if len({arm.id for arm in arms}) < max(2, len(arms)):
            raise wrong("arms", "there must be at least two, and their ids must differ")
        try:
            self.posteriors = {arm.id: BetaPosterior(arm.prior.alpha, arm.prior.beta) for arm in arms}
            self._policy = make_policy(definition.policy.name, definition.policy.params)
            self._guardrails = _guardrails(definition.guardrails, len(arms))
            model = definition.reward_model
            self._reward_model = None if model is None else make_reward_model(model)
        except ValueError as error:
            raise wrong("body", str(error)) from None
        self.definition = definition
        self.default_arm = self.checked(definition.default_arm or arms[0].id, "default_arm")
        self.created_at = self.changed_at = now
        self.status: Status = "running"
        self.winner: str | None = None
        self.revision = 1
        self.version = 0
        self.decisions: dict[str, Decision] = {}
        self._requests: dict[str, Decision] = {}
        self._direct: dict[str, float | None] = {}
        self._allocation: Allocation | None = None
        self._is_stale = True

    def checked(self, arm: str, name: str) -> str:
        """Return the arm; refuse one that is not there."""
        if arm not in self.posteriors:
            raise wrong(name, f"experiment {self.definition.experiment_id!r} has no arm {arm!r}")
        return arm

    def beliefs(self, arms: Collection[str]) -> Beliefs:
        known = [self.posteriors[arm] for arm in arms]
        return Beliefs(tuple(arms), np.array([each.alpha for each in known]), np.array([each.beta for each in known]))

    def allocation(self, now: float) -> Allocation:
        """Return the weights, computed anew if rewards have come since."""
        before = self._allocation
        if before is None or self._is_stale:
            self._allocation = allocate(
                arms=[ArmState(arm, each.alpha, each.beta, each.trials) for arm, each in self.posteriors.items()],
                policy=self._policy,
                guardrails=self._guardrails,
                previous=None if before is None else before.weights,
                seconds_since_change=None if before is None else now - self.changed_at,
            )
            self._is_stale = False
            self.version += 1
            if before is None or before.weights != self._allocation.weights:
                self.changed_at = now
            return self._allocation
        return before

    def select(self, request: Select, rng: np.random.Generator, new_id: Callable[[], str], now: float) -> Decision:
        """Make a decision, or repeat the one of that decision id or request id."""
        self._check_open()
        known = self.decisions.get(request.decision_id or "") or self._requests.get(request.request_id or "")
        if known is not None:
            return known
        decision = self._decided(request, rng, request.decision_id or new_id(), now)
        self.decisions[decision.id] = decision
        if request.request_id is not None:
            self._requests[request.request_id] = decision
        return decision

    def check_reward(self, request: Reward, now: float) -> None:
        """Refuse what can be refused without counting."""
        self._judged(request)
        if request.decision_id is not None:
            self._rewardable(request, now)
        else:
            self._check_open()
            self.checked(request.arm or "", "arm")

    def reward(self, request: Reward, now: float) -> tuple[str, str, float | None]:
        """Count a reward once; return its status, its arm and the number that counts."""
        reward = self._judged(request)
        if request.decision_id is None:
            self._check_open()
            arm = self.checked(request.arm or "", "arm")
            is_new = request.reward_id is None or request.reward_id not in self._direct
            counted = reward if request.reward_id is None else self._direct.setdefault(request.reward_id, reward)
        else:
            decision = self._rewardable(request, now)
            arm = decision.arms[request.position]
            is_new = request.position not in decision.rewarded
            counted = decision.rewarded.setdefault(request.position, reward)
            if decision.stratum != "bandit":
                return ("applied" if is_new else "duplicate"), arm, counted
            if is_new and reward is not None and not decision.is_active:
                decision.waiting.append(reward)
                return "applied", arm, reward
        if not is_new:
            return "duplicate", arm, counted
        if reward is None:
            return "ignored", arm, None
        self._learn(arm, reward)
        return "applied", arm, reward

    def activate(self, decision_id: str) -> bool:
        """Count a deferred decision from now on, with the reward it may have got; return whether that is new."""
        decision = self._found(decision_id)
        is_new = not decision.is_active
        decision.is_active = True
        while decision.waiting:
            self._learn(decision.arms[0], decision.waiting.pop())
        return is_new

    def _learn(self, arm: str, reward: float) -> None:
        self.posteriors[arm] = self.posteriors[arm].update(reward)
        self._is_stale = True

    def change(self, status: Status, winner: str | None = None) -> None:
        """Go to another state; what is over stays over, but for the archive."""
        if self.status in ("concluded", "archived") and status != "archived":
            raise Refusal(
                409, f"experiment {self.definition.experiment_id!r} is {self.status}: it can no longer change"
            )
        if winner is not None:
            self.winner = self.checked(winner, "winner")
        if status != self.status:
            self.status = status
            self.revision += 1

    def _check_open(self) -> None:
        if self.status == "archived":
            raise Refusal(409, f"experiment {self.definition.experiment_id!r} is archived")

    def _decided(self, request: Select, rng: np.random.Generator, decision_id: str, now: float) -> Decision:
        eligible = self._eligible(request)
        is_active = not request.defer_activation
        published = self.allocation(now).weights
        if self.status != "running":
            served = self.winner if self.status == "concluded" and self.winner else self.default_arm
            return Decision(decision_id, (served,), (1.0,), self.status, now, self.version, is_active)
        if request.k > 1:
            slate = self._slate(eligible, request.k, rng)
            arms = tuple(eligible[index] for index in slate.arms)
            places, version = slate.marginals, self.version
            return Decision(decision_id, arms, places, "bandit", now, version, is_active, "slate", slate.joint)
        is_subset = len(eligible) < len(published)
        weights = self._subset_weights(eligible) if is_subset else published
        arm = list(weights)[draw(list(weights.values()), float(rng.random()))]
        vector = "subset" if is_subset else "published"
        return Decision(decision_id, (arm,), (weights[arm],), "bandit", now, self.version, is_active, vector)

    def _subset_weights(self, arms: list[str]) -> dict[str, float]:
        """Return the policy's weights among some arms; they obey the floor only, as in the service."""
        proposed = self._policy.propose(self.beliefs(arms)).weights
        return dict(zip(arms, project(proposed, self._guardrails.min_weight, 1.0).tolist(), strict=True))

    def _slate(self, eligible: list[str], k: int, rng: np.random.Generator) -> Slate:
        if self._policy.name != "thompson":
            raise wrong("k", f"slates are drawn by thompson, not by {self._policy.name}")
        if k > len(eligible):
            raise wrong("k", f"there are {len(eligible)} arms to choose from")
        beliefs = self.beliefs(eligible)
        epsilon = min(1.0, len(eligible) * self._guardrails.min_weight)
        return draw_slate(beliefs.alpha, beliefs.beta, k, epsilon, rng)

    def _eligible(self, request: Select) -> list[str]:
        for name, arms in (("eligible_arms", request.eligible_arms), ("exclude_arms", request.exclude_arms)):
            for arm in arms or ():
                self.checked(arm, name)
        wanted = self.posteriors if request.eligible_arms is None else request.eligible_arms
        left = [arm for arm in self.posteriors if arm in wanted and arm not in (request.exclude_arms or ())]
        if not left:
            raise wrong("eligible_arms", "no arm is left to choose from")
        return left

    def _judged(self, request: Reward) -> float | None:
        if (request.reward is None) == (request.outcome is None):
            raise wrong("reward", "give either reward or outcome")
        try:
            if request.outcome is None:
                return check_reward(request.reward)
            if self._reward_model is None:
                raise wrong("outcome", "the experiment has no reward_model: send a reward between 0 and 1")
            return self._reward_model.reward(request.outcome)
        except ValueError as error:
            raise wrong("reward" if request.outcome is None else "outcome", str(error)) from None

    def _rewardable(self, request: Reward, now: float) -> Decision:
        decision = self._found(request.decision_id or "")
        if not 0 <= request.position < len(decision.arms):
            raise wrong("position", f"the decision has {len(decision.arms)} positions")
        if request.arm not in (None, decision.arms[request.position]):
            raise Refusal(409, f"the decision was for arm {decision.arms[request.position]!r}; nothing was counted")
        if now > decision.at + self.definition.reward_window:
            raise Refusal(410, f"the reward window of {self.definition.reward_window:g} s is over")
        return decision

    def _found(self, decision_id: str) -> Decision:
        if decision_id not in self.decisions:
            raise Refusal(404, f"there is no decision {decision_id!r}")
        return self.decisions[decision_id]


def _guardrails(limits: Limits, arms: int) -> Guardrails:
    given = {
        name: value
        for name in ("min_trials", "max_step", "min_weight", "cooldown")
        if (value := getattr(limits, name)) is not None
    }
    chosen = replace(preset(limits.preset, arms), **given)
    chosen.check_feasible(arms)
    return chosen
