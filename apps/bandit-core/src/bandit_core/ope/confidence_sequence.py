"""A confidence sequence: an interval for a policy's value at every moment of an adaptive log, valid at all of them.

Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2024, "Anytime-valid off-policy inference for contextual bandits"
(ACM / IMS Journal of Data Science 1(3)), section 2.1. With w_t = π(A_t) / p_t(A_t), the lower doubly robust
pseudo-outcome is

    φ_t = w_t (R_t − q̂_t(A_t)) + Σ_a π(a) q̂_t(a),        φ_t >= −k_t,

whose mean, given the past, is the value ν whatever q̂ is, as long as q̂ and the propensities depend on the past only. The
capital of a gambler who bets λ_t on φ_t being above a candidate ν',

    K_t(ν') = Π_{i<=t} (1 + λ_i (φ_i − ν')),        0 <= λ_i < 1 / (ν' + k_i),

is a non-negative martingale when ν' = ν, so by Ville's inequality it reaches 1/α with probability at most α, ever. The
candidates whose capital has never reached it are the lower confidence sequence (the theorem "doubly robust betting
off-policy confidence sequence"). The upper one is the same with 1 − R and 1 − q̂ (the remark on mirroring); both
together have the level 1 − 2α.

Bets are those of the paper's remark on tuning, sqrt(2 log(1/α) / (σ̂² t log(1 + t))) up to c / (k_t + ν') with c = 1/2.
Two details differ. σ̂² is the running variance of φ itself instead of φ / (k_t + 1), as it is φ that is bet on. And
instead of truncating q̂ at a chosen k_t, k_t is max_a q̂_t(a) π(a) / (the least propensity a can have), known before the
decision: it truncates nothing.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit_core.ope.decision_order import check_resolved_before
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.result import ConfidenceInterval, check_level
from bandit_core.ope.rounds import EvaluationInput
from bandit_core.ope.running_means import running_means
from bandit_core.ope.tables import ArmValues, arm_table

type Floats = NDArray[np.float64]
type Whole = NDArray[np.int64]

MOST_OF_CAPITAL = 0.5
"""The paper's c: no bet risks more than this share of the capital."""

ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class ConfidenceSequence:
    """lower and upper (n,), in [0, 1]: the bounds after each of n decisions.

    With probability `level` the value lies within all of them at once. Lower never falls and upper never rises. They
    can be looked at after every decision, and the experiment stopped because of what they say.
    """

    lower: Floats
    upper: Floats
    level: float

    def __len__(self) -> int:
        return len(self.lower)

    def after(self, decisions: int) -> ConfidenceInterval:
        """Return the interval after that many decisions, 1 to n.

        ValueError for another number, and when no value is left: then either the rare event has happened that the level
        allows for, or a supposition fails, most likely that the value stays the same.
        """
        if not 1 <= decisions <= len(self):
            raise ValueError(f"the sequence has intervals after 1 to {len(self)} decisions, not after {decisions}")
        low, high = float(self.lower[decisions - 1]), float(self.upper[decisions - 1])
        if low > high:
            raise ValueError(
                f"no value is left after {decisions} decisions (lower {low:g}, upper {high:g}): the arms' mean rewards "
                "have probably changed along the log"
            )
        return ConfidenceInterval(low, high, self.level, "confidence sequence")

    @property
    def interval(self) -> ConfidenceInterval:
        """The interval after all decisions; see `after`."""
        return self.after(len(self))

    def contains(self, value: float) -> bool:
        """Return whether the value lies within the bounds after every decision."""
        return bool(self.lower[-1] <= value <= self.upper[-1])


def confidence_sequence(
    log: LoggedDecisions,
    target: ArmValues,
    *,
    least_propensity: ArmValues | None = None,
    resolved_before: ArrayLike | None = None,
    level: float = 0.95,
    resolution: float = 1e-4,
) -> ConfidenceSequence:
    """Return the confidence sequence of the value of the policy with probabilities `target`.

    log: rewards in [0, 1], decisions in the order in which they were made, all of them resolved: cut the log at the
    oldest decision whose reward window is open, or decisions with early rewards count before the others.

    target: (n_arms,), (n_positions, n_arms) or (n, n_arms), see `bandit_core.ope.tables`. By round it may depend on
    what was known before the decision, as long as the policy's value, given the past, stays the same.

    least_propensity: what the probability of each arm is at least, known before the decision: a number, the
    experiment's `min_weight`, or a table shaped as target, best the logging policy's own probabilities. The sequence is
    the tighter the closer they are. Without it there is no reward model (q̂ = 0, k = 0): valid, but wider, since plain
    weights have the larger variance.

    resolved_before: (n,), how many of the first decisions were all resolved when each one was made, as
    `bandit_core.ope.decision_order.resolved_before` gives it; q̂ and bets of a decision use those and no others. By
    default every reward was known before the next decision.

    resolution: distance of the candidate values; bounds are rounded outwards to it, and time grows with its inverse.

    ValueError for rewards outside [0, 1], a propensity below its least one, a least propensity of 0 where the target
    plays the arm, or shapes that do not fit.
    """
    check_level(level)
    if not 0.0 < resolution <= 0.1:
        raise ValueError(f"resolution must lie in (0, 0.1], got {resolution}")
    if log.rewards.min() < 0.0 or log.rewards.max() > 1.0:
        raise ValueError("a confidence sequence needs rewards in [0, 1]: scale them")
    known = check_resolved_before(resolved_before, len(log))
    weights = EvaluationInput.of(log, target).rounds().weights
    if least_propensity is None:
        lower, upper = (_Side.weighted(rewards, weights) for rewards in (log.rewards, 1.0 - log.rewards))
    else:
        pi = _of_rounds("target", target, log)
        largest = _largest_weights(log, pi, least_propensity)
        q_hat = running_means(log, known, start=0.5)
        lower = _Side.doubly_robust(log.arms, log.rewards, weights, q_hat, pi, largest)
        upper = _Side.doubly_robust(log.arms, 1.0 - log.rewards, weights, 1.0 - q_hat, pi, largest)
    error, candidates = (1.0 - level) / 2.0, np.linspace(0.0, 1.0, round(1.0 / resolution) + 1)[1:]
    bounds = [side.lower_bounds(known, error, candidates) for side in (lower, upper)]
    return ConfidenceSequence(bounds[0], 1.0 - bounds[1], level)


@dataclass(frozen=True, eq=False)
class _Side:
    """Pseudo-outcomes φ (n,), and k (n,) with φ >= -k, of the lower side or, mirrored, of the upper."""

    outcomes: Floats
    shifts: Floats

    @classmethod
    def weighted(cls, rewards: Floats, weights: Floats) -> Self:
        """Return plain importance-weighted outcomes: q̂ = 0 and k = 0."""
        return cls(weights * rewards, np.zeros(len(rewards)))

    @classmethod
    def doubly_robust(
        cls, arms: Whole, rewards: Floats, weights: Floats, q_hat: Floats, pi: Floats, largest: Floats
    ) -> Self:
        """Return doubly robust outcomes; q̂, π and the largest weights are (n, n_arms)."""
        predicted = q_hat[np.arange(len(arms)), arms]
        outcomes = weights * (rewards - predicted) + (pi * q_hat).sum(axis=1)
        return cls(outcomes, (largest * q_hat).max(axis=1))

    def lower_bounds(self, known: Whole, error: float, candidates: Floats) -> Floats:
        from bandit_core.ope.betting_loop import lower_bounds

        bounds = np.empty(len(known))
        lower_bounds(self.outcomes, self.shifts, known, error, MOST_OF_CAPITAL, candidates, bounds)
        return bounds


def _largest_weights(log: LoggedDecisions, pi: Floats, least_propensity: ArmValues) -> Floats:
    """Return π(a) / least propensity (n, n_arms)."""
    if np.isscalar(least_propensity):
        least_propensity = np.full(log.n_arms, least_propensity)
    least = _of_rounds("least_propensity", least_propensity, log)
    promised = least[np.arange(len(log)), log.arms]
    if (broken := log.propensities < promised * (1.0 - ROUNDING)).any():
        row = int(np.argmax(broken))
        raise ValueError(
            f"the propensity {log.propensities[row]:g} in row {row} is below its least_propensity {promised[row]:g}"
        )
    if ((pi > 0.0) & ~(least > 0.0)).any():
        raise ValueError(
            "least_propensity must be above 0 for every arm the target plays: an arm that may never be played has no "
            "largest weight. Leave least_propensity out to do without a reward model"
        )
    return np.divide(pi, least, out=np.zeros_like(pi), where=pi > 0.0)


def _of_rounds(name: str, values: ArmValues, log: LoggedDecisions) -> Floats:
    """Return a table of any shape as (n, n_arms)."""
    table = arm_table(name, values, log)
    if table.by_round:
        return table.values
    return table.values[np.zeros(len(log), dtype=np.int64) if log.positions is None else log.positions]
