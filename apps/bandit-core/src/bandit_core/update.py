"""What one update may do to the weights: who joined and left, what holds them, and the limits of every arm."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bandit_core.explanation import Bound, Hold, Reason, Relaxation
from bandit_core.guardrails import FEASIBILITY_TOLERANCE, Guardrails, common_shift, project

ROUNDING = 1e-9
"""Differences of weights up to this are rounding, not decisions."""

SUM_TOLERANCE = 1e-6
"""How far previous weights, as people write them, may add up to something else than 1."""

type Weights = NDArray[np.float64]
type Mask = NDArray[np.bool_]
type Bounds = tuple[Bound | None, ...]


@dataclass(frozen=True, slots=True)
class ArmState:
    """What is known about one arm: a Beta(alpha, beta) belief, and how many rewards (`trials`) were ever observed.

    Alpha and beta say nothing where `allocate` is given other beliefs.

    `trials` is what `min_trials` counts; it does not decay, or an arm at the floor could not keep the data it needs.
    `newcomer` says that the arm was added while the experiment was running: until it has `min_trials` rewards it does
    not hold the others, and it may not rise. An arm that stands at `min_weight` is treated so in any case.
    """

    id: str
    alpha: float = 1.0
    beta: float = 1.0
    trials: float = 0.0
    newcomer: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.trials < math.inf:
            raise ValueError(f"trials of arm {self.id!r} must be finite and at least 0, got {self.trials!r}")


@dataclass(frozen=True, slots=True, eq=False)
class WeightLimits:
    """lower <= weights <= upper, each of shape (K,), and the guardrail each limit comes from (None: there is none)."""

    lower: Weights
    upper: Weights
    lower_by: Bounds
    upper_by: Bounds
    relaxation: Relaxation | None = None


@dataclass(frozen=True, eq=False)
class Update:
    """K >= 1 arms beside the weights in force before, by arm id, and the seconds `since` these last changed.

    Weights of arms that are all gone count as none: the update is then a `first` one, as it is with no weights at all.
    """

    arms: Sequence[ArmState]
    guardrails: Guardrails
    before: Mapping[str, float]
    since: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", _normalised(self.before))

    @cached_property
    def first(self) -> bool:
        return not self._incumbent.any()

    @cached_property
    def joined(self) -> tuple[str, ...]:
        return () if self.first else self._named(~self._incumbent)

    @cached_property
    def left(self) -> dict[str, float]:
        """The arms that left, with the weights they had."""
        present = {arm.id for arm in self.arms}
        return {arm: weight for arm, weight in self.before.items() if arm not in present}

    @cached_property
    def waiting(self) -> tuple[str, ...]:
        """Newcomers that may not rise before they have `min_trials` rewards."""
        return self._named(self._capped)

    @cached_property
    def in_play(self) -> Mask:
        """The arms the policy decides about, at least one: all but those that join and those that wait.

        Were the policy asked about all, what it sees in an arm without data that must not have it would be spread over
        the others, and the known losers among them would gain.
        """
        in_play = self._incumbent & ~self._capped
        return in_play if in_play.any() else self._incumbent | self.first

    def target(self, proposed: Weights) -> Weights:
        """Spread the weights proposed for the arms in play over what is left when the others have theirs."""
        target = np.where(self.in_play, 0.0, np.maximum(self._previous, self.guardrails.min_weight))
        target[self.in_play] = proposed * max(0.0, 1.0 - float(target.sum()))
        return target

    @cached_property
    def holds(self) -> tuple[Hold, ...]:
        """The guardrails that keep the weights where they are."""
        holds = []
        if self._holding.any():
            observed = float(self._trials[self._holding].min())
            holds.append(Hold("min_trials", observed, float(self.guardrails.min_trials), self._named(self._holding)))
        if not self.first and self.since is not None and self.since < self.guardrails.cooldown:
            holds.append(Hold("cooldown", max(self.since, 0.0), self.guardrails.cooldown))
        return tuple(holds)

    def limits(self) -> WeightLimits:
        """Return limits that some weights satisfy, whatever arms and guardrails have changed since the last update."""
        if self.holds:
            return self._hold_limits()
        return self._floor_limits() if self.first else self._step_limits()

    @cached_property
    def _incumbent(self) -> Mask:
        return np.array([arm.id in self.before for arm in self.arms], dtype=np.bool_)

    @cached_property
    def _previous(self) -> Weights:
        return np.array([self.before.get(arm.id, 0.0) for arm in self.arms], dtype=np.float64)

    @cached_property
    def _trials(self) -> NDArray[np.float64]:
        return np.array([arm.trials for arm in self.arms], dtype=np.float64)

    @cached_property
    def _lacks_data(self) -> Mask:
        return self._trials < self.guardrails.min_trials

    @cached_property
    def _waits(self) -> Mask:
        """Arms that lack data and, being new, wait for it at the floor instead of holding all arms."""
        newcomer = np.array([arm.newcomer for arm in self.arms], dtype=np.bool_)
        at_floor = self._previous <= self.guardrails.min_weight + ROUNDING
        return self._lacks_data & self._incumbent & (newcomer | at_floor)

    @cached_property
    def _capped(self) -> Mask:
        """Arms that wait at a floor; without a floor they would never get the data that they wait for."""
        return self._waits & (self.guardrails.min_weight > 0.0)

    @cached_property
    def _holding(self) -> Mask:
        if self.first:
            return self._lacks_data
        if np.array_equal(self._waits, self._incumbent):
            return self._waits  # Weight moves between arms that have data: where none has, there is nothing to move.
        return self._lacks_data & self._incumbent & ~self._waits

    @cached_property
    def _below_floor(self) -> Mask:
        return self._incumbent & (self._previous < self.guardrails.min_weight)

    @cached_property
    def _previous_is_valid(self) -> bool:
        """Whether the weights before are still weights of these arms, and respect the floor."""
        return not (self.left or self._below_floor.any()) and bool(self._incumbent.all())

    def _floor_limits(self) -> WeightLimits:
        lower = np.full(len(self.arms), self.guardrails.min_weight)
        return WeightLimits(lower, np.ones(len(self.arms)), self._lower_by(lower), (None,) * len(self.arms))

    def _hold_limits(self) -> WeightLimits:
        weights = self._held_weights()
        guardrail = self.holds[0].guardrail
        by: Bounds = tuple(guardrail if stays or self.first else "entry" for stays in self._incumbent)
        moved = np.abs(weights - self._previous)[self._incumbent]
        return WeightLimits(weights, weights, by, by, self._relaxation(float(moved.max(initial=0.0))))

    def _held_weights(self) -> Weights:
        """Keep the weights exactly, or in proportion where arms joined or left; equal when there were none."""
        if self.first:
            return np.full(len(self.arms), 1.0 / len(self.arms))
        if self._previous_is_valid:
            return self._previous
        floor = self.guardrails.min_weight
        kept = self._previous if self._previous.any() else self._incumbent.astype(np.float64)
        shared = 1.0 - floor * np.count_nonzero(~self._incumbent)
        return project(shared * (kept / kept.sum()), floor, np.where(self._incumbent, 1.0, floor))

    def _step_limits(self) -> WeightLimits:
        floor, step, ceiling = self.guardrails.min_weight, self.guardrails.max_step, self._ceiling()
        if not self._previous_is_valid:
            # What each arm gives up or takes over when all share the change evenly is the least step that can do it.
            step = max(step, abs(common_shift(self._previous.tolist(), [floor] * len(self.arms), ceiling.tolist())))
        lower = np.maximum(self._previous - step, floor)
        upper = np.clip(self._previous + step, floor, ceiling)
        raised = (floor - self._previous)[self._below_floor]
        relaxation = self._relaxation(max(step, float(raised.max(initial=0.0))))
        return WeightLimits(lower, upper, self._lower_by(lower), self._upper_by(upper, ceiling), relaxation)

    def _ceiling(self) -> Weights:
        """Return the highest weight each arm may have in any number of steps, without new data."""
        floor = self.guardrails.min_weight
        ceiling = np.where(self._capped, np.maximum(self._previous, floor), 1.0)
        return np.where(self._incumbent, ceiling, floor)

    def _lower_by(self, lower: Weights) -> Bounds:
        floor = self.guardrails.min_weight
        return tuple(
            None if limit == 0.0 else "min_weight" if limit == floor else "max_step" for limit in lower.tolist()
        )

    def _upper_by(self, upper: Weights, ceiling: Weights) -> Bounds:
        return tuple(
            "entry" if not stays else "max_step" if limit < top else "min_trials" if top < 1.0 else None
            for stays, limit, top in zip(self._incumbent.tolist(), upper.tolist(), ceiling.tolist(), strict=True)
        )

    def _relaxation(self, used: float) -> Relaxation | None:
        if used <= self.guardrails.max_step + ROUNDING:
            return None
        causes: tuple[tuple[Reason, bool], ...] = (
            ("joined", bool(self.joined)),
            ("left", bool(self.left)),
            ("floor", bool(self._below_floor.any())),
        )
        return Relaxation(self.guardrails.max_step, used, tuple(reason for reason, holds in causes if holds))

    def _named(self, chosen: Mask) -> tuple[str, ...]:
        return tuple(arm.id for arm, is_chosen in zip(self.arms, chosen.tolist(), strict=True) if is_chosen)


def _normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights scaled to sum to 1, untouched where they do so up to rounding."""
    if not weights:
        return {}
    total, least = float(sum(weights.values())), float(min(weights.values()))
    if not (abs(total - 1.0) <= SUM_TOLERANCE and least >= 0.0):
        raise ValueError(
            f"previous weights must be at least 0 and sum to 1; they sum to {total:.9g}, from {least:g} up"
        )
    if abs(total - 1.0) <= FEASIBILITY_TOLERANCE:
        return dict(weights)
    return {arm: weight / total for arm, weight in weights.items()}
