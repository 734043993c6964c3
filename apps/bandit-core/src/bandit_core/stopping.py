"""When an experiment is done, and why."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

import numpy as np
from scipy.special import logit

from bandit_core.adaptive.effect import Effects
from bandit_core.checks import check_number, check_whole
from bandit_core.policies.base import ArmBeliefs, Beliefs
from bandit_core.wording import compared, count, duration, number, points

type Outcome = Literal["winner", "practically_equal", "better_policy", "undecided"]
type Scale = Literal["rate", "value"]
type ConditionName = Literal[
    "min_decisions", "min_decisions_per_arm", "prob_best", "effect", "expected_loss", "prob_better", "max_duration"
]

_WINNING: Final = ("prob_best", "effect")
"""Conditions whose arm is announced as the winner."""

NEARLY_DONE = math.nextafter(1.0, 0.0)
"""The highest progress of a condition that does not hold."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a stopping rule as it stands: `value` is compared with `threshold`.

    `arm` is the arm it was measured on, where there is one, and `progress` in [0, 1] reaches 1 exactly when it holds.
    `scale` says whether rewards are shares, whose differences are percentage points, or any numbers.
    """

    name: ConditionName
    value: float
    threshold: float
    holds: bool
    progress: float
    arm: str | None = None
    scale: Scale = "rate"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a stopping rule says about an experiment now.

    winner: `arm` has the P(best) that was asked for, or is ahead of every rival by the effect. practically_equal: no
    arm is, but choosing `arm` is expected to cost no more than the tolerance. better_policy: the policy as a whole
    earns more than the control, with the probability that was asked for; `arm` is None, since no single arm has earned
    that. undecided: none of these, `arm` is None; `stop` is True then only because of `max_duration`. `progress` in
    [0, 1] is 1 exactly when `stop` is True.
    """

    outcome: Outcome
    stop: bool
    arm: str | None
    conditions: tuple[Condition, ...]
    progress: float

    def condition(self, name: ConditionName) -> Condition | None:
        """Return the condition of that name, None where the rule does not set it."""
        return next((condition for condition in self.conditions if condition.name == name), None)

    def sentence(self) -> str:
        """Return the verdict and its reasons in plain words, with their numbers."""
        said = self.outcome.replace("_", " ")
        head = f"{said}: {self.arm}" if self.arm else f"{said}, {'stopped' if self.stop else 'goes on'}"
        reasons = [
            _REASONS[condition.name](condition, "its" if condition.arm == self.arm else "the leading arm's")
            for condition in self.conditions
        ]
        return f"{head} - {'; '.join(reasons)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain dicts, lists, strings and finite numbers, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Return the verdict that `to_dict` described, before or after a journey through JSON."""
        return cls(**{**record, "conditions": tuple(Condition(**condition) for condition in record["conditions"])})


@dataclass(frozen=True, slots=True)
class EffectCondition:
    """An arm has to be ahead of every rival by more than `min_effect`, with `confidence` at all looks together.

    The difference is that of the running averages, in units of the reward, compared within versions of the weights
    (`bandit_core.adaptive.effect`). ValueError unless `confidence` lies in (0, 1) and `min_effect` is at least 0.
    """

    confidence: float = 0.95
    min_effect: float = 0.0

    def __post_init__(self) -> None:
        check_number("effect: confidence", self.confidence, low=0.0, high=math.nextafter(1.0, 0.0), exclusive=True)
        check_number("effect: min_effect", self.min_effect, low=0.0)


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """Stop once there is enough data and enough evidence, or after `max_duration` seconds at the latest.

    Enough data: at least `min_decisions` in total and `min_decisions_per_arm` for every arm. Enough evidence: the
    leader's P(best) is at least `prob_best`, and/or (`combine`: "any" one is enough, "all" are needed) an arm is ahead
    of every rival by the `effect`, and/or the expected loss of choosing is at most `expected_loss`, in units of the
    reward, and/or the policy earns more than the control with at least the probability `prob_better`. None leaves a
    condition out; at least one of these and `max_duration` must be set. Without `prob_best` and `effect` no winner is
    announced: a small expected loss says that a choice is safe, not that the arm is best. Raises ValueError for values
    out of range.

    Only `effect` limits how often arms that are equal are ever announced, however often one looks.
    """

    min_decisions: int = 0
    min_decisions_per_arm: int = 100
    prob_best: float | None = 0.95
    expected_loss: float | None = None
    prob_better: float | None = None
    combine: Literal["any", "all"] = "any"
    max_duration: float | None = None
    effect: EffectCondition | None = None

    def __post_init__(self) -> None:
        check_whole("min_decisions", self.min_decisions, low=0)
        check_whole("min_decisions_per_arm", self.min_decisions_per_arm, low=0)
        for name, probability in (("prob_best", self.prob_best), ("prob_better", self.prob_better)):
            if probability is not None:
                check_number(name, probability, low=0.0, high=1.0, exclusive=True)
        if self.expected_loss is not None:
            check_number("expected_loss", self.expected_loss, low=0.0, exclusive=True)
        if self.max_duration is not None:
            check_number("max_duration", self.max_duration, low=0.0, exclusive=True)
        if self.combine not in ("any", "all"):
            raise ValueError(f"combine must be 'any' or 'all', got {self.combine!r}")
        if {self.prob_best, self.effect, self.expected_loss, self.prob_better, self.max_duration} == {None}:
            raise ValueError(
                "a stopping rule needs prob_best, effect, expected_loss, prob_better or max_duration, or it never stops"
            )

    def evaluate(
        self,
        beliefs: ArmBeliefs,
        decisions: Mapping[str, int],
        elapsed: float,
        prob_better: float | None = None,
        effects: Effects | None = None,
    ) -> Verdict:
        """Judge the experiment from its beliefs, decisions so far by arm id, and seconds since it started.

        Every decision in `decisions` counts for the total, also those for arms that are no longer there; an arm that is
        missing there has none. `prob_better` in [0, 1] is the probability that the policy earns more than the control
        (`bandit_core.holdout`). `effects` are those of the arms of the beliefs, in their order. A rule that asks for
        one of both raises ValueError without it.
        """
        evidence, policy = self._evidence(beliefs, effects), self._policy(prob_better)
        data, time = self._data(beliefs, decisions), self._time(elapsed)
        convinced = min([self._combined([*evidence, *policy]), *(condition.progress for condition in data)])
        winners = {each.arm for each in evidence if each.name in _WINNING and each.holds}
        if self.combine == "all" and len(winners) > 1:
            convinced = min(convinced, NEARLY_DONE)
        progress = max([convinced, *(condition.progress for condition in time)])
        conditions = (*evidence, *policy, *data, *time)
        if convinced < 1.0:
            return Verdict("undecided", progress == 1.0, None, conditions, progress)
        if not any(condition.holds for condition in evidence):
            return Verdict("better_policy", True, None, conditions, progress)  # noqa: FBT003
        leads = [each.arm for each in evidence if each.name in _WINNING and each.holds]
        arm = leads[0] if leads else evidence[-1].arm
        return Verdict("winner" if leads else "practically_equal", True, arm, conditions, progress)  # noqa: FBT003

    def _data(self, beliefs: ArmBeliefs, decisions: Mapping[str, int]) -> list[Condition]:
        fewest = min(decisions.get(arm, 0) for arm in beliefs.arms)
        asked: tuple[tuple[ConditionName, int, int], ...] = (
            ("min_decisions", sum(decisions.values()), self.min_decisions),
            ("min_decisions_per_arm", fewest, self.min_decisions_per_arm),
        )
        return [_at_least(name, value, threshold) for name, value, threshold in asked if threshold > 0]

    def _evidence(self, beliefs: ArmBeliefs, effects: Effects | None) -> list[Condition]:
        """Judge P(best) and effect on the arms that lead by them, and the loss on the arm that would be announced."""
        best, conditions, candidate = beliefs.best_arm, [], int(beliefs.best_arm.expected_loss.argmin())
        scale: Scale = "rate" if isinstance(beliefs, Beliefs) else "value"
        if self.effect is not None:
            arm, condition = self._effect(self.effect, beliefs, effects, scale)
            conditions.append(condition)
            candidate = arm if condition.holds else candidate
        if self.prob_best is not None:
            leads = float(best.prob_best[best.leader])
            progress = _progress_of_odds(leads, self.prob_best, len(beliefs.arms))
            condition = _condition("prob_best", leads, self.prob_best, progress, beliefs.arms[best.leader])
            conditions.insert(0, condition)
            candidate = best.leader if condition.holds else candidate
        if self.expected_loss is not None:
            loss = max(float(best.expected_loss[candidate]), 0.0)
            progress = _progress_of_loss(loss, self.expected_loss)
            arm_id = beliefs.arms[candidate]
            conditions.append(_condition("expected_loss", loss, self.expected_loss, progress, arm_id, scale))
        return conditions

    @staticmethod
    def _effect(
        asked: EffectCondition, beliefs: ArmBeliefs, effects: Effects | None, scale: Scale
    ) -> tuple[int, Condition]:
        if effects is None or effects.difference.shape != (len(beliefs.arms),) * 2:
            raise ValueError("the rule asks for an effect: give the effects of the arms that the beliefs are about")
        confidence = effects.confidence(asked.confidence, asked.min_effect)
        progress = effects.progress(asked.confidence, asked.min_effect)
        arm = int(np.lexsort((confidence, progress))[-1])
        value = float(confidence[arm])
        reached = 1.0 if value >= asked.confidence else min(float(progress[arm]), NEARLY_DONE)
        return arm, _condition("effect", value, asked.confidence, reached, beliefs.arms[arm], scale)

    def _policy(self, prob_better: float | None) -> list[Condition]:
        if self.prob_better is None:
            return []
        if prob_better is None:
            raise ValueError("the rule asks for prob_better: say how probable it is that the policy beats the control")
        check_number("prob_better", prob_better, low=0.0, high=1.0)
        progress = _progress_of_odds(prob_better, self.prob_better, 2)
        return [_condition("prob_better", prob_better, self.prob_better, progress)]

    def _time(self, elapsed: float) -> list[Condition]:
        return [] if self.max_duration is None else [_at_least("max_duration", max(elapsed, 0.0), self.max_duration)]

    def _combined(self, evidence: list[Condition]) -> float:
        combine = max if self.combine == "any" else min
        return combine((condition.progress for condition in evidence), default=0.0)


def _condition(
    name: ConditionName,
    value: float,
    threshold: float,
    progress: float,
    arm: str | None = None,
    scale: Scale = "rate",
) -> Condition:
    return Condition(name, float(value), float(threshold), progress == 1.0, progress, arm, scale)


def _at_least(name: ConditionName, value: float, threshold: float) -> Condition:
    return _condition(name, value, threshold, 1.0 if value >= threshold else min(value / threshold, NEARLY_DONE))


def _progress_of_odds(prob_best: float, threshold: float, n_arms: int) -> float:
    """Measure P(best of n) from 1/n to the threshold in log-odds: in proportion to the data once arms differ."""
    if prob_best >= threshold:
        return 1.0
    start = float(logit(1.0 / n_arms))
    span = float(logit(threshold)) - start
    if span <= 0.0:
        return NEARLY_DONE
    if prob_best <= 1.0 / n_arms:
        return 0.0
    return float(np.clip((float(logit(prob_best)) - start) / span, 0.0, NEARLY_DONE))


def _progress_of_loss(loss: float, tolerance: float) -> float:
    """Measure loss by its inverse square, which grows in proportion to the data while arms cannot be told apart."""
    return 1.0 if loss <= tolerance else min((tolerance / loss) ** 2, NEARLY_DONE)


def _say_prob_best(condition: Condition, whose: str) -> str:
    value, threshold = compared(condition.value, condition.threshold)
    against = f"at least {threshold} asked for" if condition.holds else f"below the {threshold} asked for"
    return f"{whose} chance of being best is {value} ({against})"


def _say_effect(condition: Condition, whose: str) -> str:
    value, threshold = compared(condition.value, condition.threshold)
    against = f"at least {threshold} asked for" if condition.holds else f"below the {threshold} asked for"
    return f"{whose} effect over every rival is confirmed with {value} at all looks together ({against})"


def _say_expected_loss(condition: Condition, whose: str) -> str:
    write = points if condition.scale == "rate" else number
    value, threshold = compared(condition.value, condition.threshold, write)
    against = f"at most {threshold} allowed" if condition.holds else f"above the {threshold} allowed"
    return f"{whose} expected loss is {value} ({against})"


def _say_prob_better(condition: Condition, _: str) -> str:
    value, threshold = compared(condition.value, condition.threshold)
    against = f"at least {threshold} asked for" if condition.holds else f"below the {threshold} asked for"
    return f"the policy's chance of earning more than the control is {value} ({against})"


def _say_decisions(condition: Condition, _: str) -> str:
    if condition.holds:
        return f"{count(condition.value, 'decision')} (at least {count(condition.threshold)} asked for)"
    return f"only {count(condition.value)} of the {count(condition.threshold, 'decision')} asked for"


def _say_decisions_per_arm(condition: Condition, _: str) -> str:
    if condition.holds:
        return f"{count(condition.value, 'decision')} or more for every arm (at least {count(condition.threshold)})"
    return f"an arm has only {count(condition.value)} of the {count(condition.threshold, 'decision')} asked for"


def _say_max_duration(condition: Condition, _: str) -> str:
    return f"{duration(condition.value)} of at most {duration(condition.threshold)} have passed"


_REASONS: Final[Mapping[ConditionName, Callable[[Condition, str], str]]] = {
    "prob_best": _say_prob_best,
    "effect": _say_effect,
    "expected_loss": _say_expected_loss,
    "prob_better": _say_prob_better,
    "min_decisions": _say_decisions,
    "min_decisions_per_arm": _say_decisions_per_arm,
    "max_duration": _say_max_duration,
}
