"""What estimators need to know of every round: its reward, its weight, and what a reward model says about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.tables import SUM_TOLERANCE, ArmTable, ArmValues, arm_table

type Floats = NDArray[np.float64]

BLOCK = 32_768
"""Rounds taken at once: what is computed on them stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Support:
    """Where the evaluation policy would play, and where the log has played.

    mass (n_positions, n_arms): the evaluation policy's probabilities, summed over the rounds. played, of the same
    shape: how often the log has that arm in that position. Sums of several logs add up.
    """

    mass: Floats
    played: NDArray[np.int64]

    def __add__(self, other: Self) -> Self:
        return type(self)(self.mass + other.mass, self.played + other.played)

    @property
    def coverage(self) -> float:
        """The share of the evaluation policy's probability on arms the log has played in the same position."""
        unseen = float(self.mass[self.played == 0].sum())
        return 1.0 - unseen / float(self.mass.sum()) if unseen else 1.0


@dataclass(frozen=True, eq=False)
class Rounds:
    """m rounds: arrays (m,), the last two only where there is a reward model.

    weights: π(a|x) / p, how much likelier the evaluation policy was to choose the logged arm. predicted: q̂(x, a) of the
    logged arm. expected: Σ π(a|x) q̂(x, a) over all arms, what the model says the evaluation policy earns.
    """

    rewards: Floats
    weights: Floats
    support: Support
    expected: Floats | None = None
    predicted: Floats | None = None

    def __len__(self) -> int:
        return len(self.rewards)


@dataclass(frozen=True, eq=False)
class EvaluationInput:
    """A log, the evaluation policy's probabilities and, where there is one, a reward model: checked for their shapes.

    `target` and `q_hat` take the shapes that `bandit_core.ope.tables` describes; q̂ is finite.
    """

    log: LoggedDecisions
    target: ArmTable
    q_hat: ArmTable | None = None

    @classmethod
    def of(cls, log: LoggedDecisions, target: ArmValues, q_hat: ArmValues | None = None) -> Self:
        """Return the evaluation of a target policy on a log; ValueError for a shape that does not fit the log."""
        return cls(log, arm_table("target", target, log), None if q_hat is None else arm_table("q_hat", q_hat, log))

    def rounds(self) -> Rounds:
        """Return all rounds at once; ValueError names the first whose target probabilities are none."""
        return self._weigh(slice(0, len(self.log)))

    def blocks(self) -> Iterator[Rounds]:
        """Yield the rounds, a cache's worth at a time, as `rounds` gives them."""
        for start in range(0, len(self.log), BLOCK):
            yield self._weigh(slice(start, start + BLOCK))

    def _weigh(self, chosen: slice) -> Rounds:
        from bandit_core.ope import kernels

        log, target = self.log, self.target.rounds(chosen)
        model = None if self.q_hat is None else self.q_hat.rounds(chosen)
        rewards = log.rewards[chosen]
        m, shape = len(rewards), (log.n_positions, log.n_arms)
        support = Support(np.zeros(shape), np.zeros(shape, dtype=np.int64))
        weights = np.empty(m)
        expected, predicted = (None, None) if model is None else (np.empty(m), np.empty(m))
        bad = kernels.weigh_rounds(
            log.arms[chosen],
            log.propensities[chosen],
            kernels.NO_POSITIONS if log.positions is None else log.positions[chosen],
            target.values,
            target.by_round,
            kernels.NO_MODEL if model is None else model.values,
            model is not None and model.by_round,
            weights,
            kernels.NOTHING if expected is None else expected,
            kernels.NOTHING if predicted is None else predicted,
            support.mass,
            support.played,
            SUM_TOLERANCE,
        )
        if bad >= 0:
            position = 0 if log.positions is None else int(log.positions[chosen][bad])
            raise _refusal(chosen.start + bad, bad, position, target, model)
        return Rounds(rewards, weights, support, expected, predicted)


def _refusal(row: int, place: int, position: int, target: ArmTable, model: ArmTable | None) -> ValueError:
    probabilities = target.values[place if target.by_round else position]
    if model is not None:
        means = model.values[place if model.by_round else position]
        if not np.isfinite(means).all():
            return ValueError(f"q_hat must be finite, got {means.tolist()} in row {row}")
    return ValueError(
        f"target must hold probabilities that add up to 1, got {probabilities.tolist()} "
        f"(sum {probabilities.sum():.9g}) in row {row}"
    )
