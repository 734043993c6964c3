"""Limits on what an update may do to the weights, and the projection that satisfies all of them at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bandit_core.checks import check_number, check_whole

FEASIBILITY_TOLERANCE = 1e-12
"""By how much limits may miss a sum of 1 and still count as rounding of limits that meet it."""

type Preset = Literal["safe", "neutral", "explore"]


class InfeasibleLimits(ValueError):  # noqa: N818 - it names what is wrong, and callers catch it as a ValueError
    """No weights satisfy the limits; the message names the limits that clash, with their numbers."""


@dataclass(frozen=True, slots=True)
class Guardrails:
    """What every update of the weights has to respect.

    `min_trials`: an arm with fewer rewards than this holds all weights where they are, unless it is new. `max_step`, in
    (0, 1]: the most any weight may change in one update. `min_weight`, in [0, 1]: the least any arm is given.
    `cooldown`: seconds that must pass between changes. The defaults limit nothing. Raises ValueError for values out of
    range.
    """

    min_trials: int = 0
    max_step: float = 1.0
    min_weight: float = 0.0
    cooldown: float = 0.0

    def __post_init__(self) -> None:
        check_whole("min_trials", self.min_trials, low=0)
        check_number("max_step", self.max_step, low=0.0, high=1.0, exclusive=True)
        check_number("min_weight", self.min_weight, low=0.0, high=1.0)
        check_number("cooldown", self.cooldown, low=0.0)

    def check_feasible(self, n_arms: int) -> None:
        """Raise InfeasibleLimits when `min_weight` cannot be given to that many arms."""
        if self.min_weight * n_arms > 1.0 + FEASIBILITY_TOLERANCE:
            raise InfeasibleLimits(
                f"min_weight {self.min_weight:g} for each of {n_arms} arms adds up to {self.min_weight * n_arms:g}, "
                f"more than 1; use at most {1.0 / n_arms:.4g} or fewer arms"
            )


def preset(name: Preset, n_arms: int) -> Guardrails:
    """Return the limits that go by that name, with a floor that is positive and feasible for any number of arms.

    safe: small, rare steps on solid data; at most 20% of the traffic is tied to floors.
    neutral: the policy decides, and publication may be as fast as it likes; at most 10% is tied.
    explore: like neutral, but half of the traffic is spread evenly from five arms on.
    """
    check_whole("n_arms", n_arms, low=1)
    match name:
        case "safe":
            return Guardrails(min_trials=500, max_step=0.1, min_weight=min(0.05, 0.2 / n_arms), cooldown=3600.0)
        case "neutral":
            return Guardrails(min_weight=min(0.01, 0.1 / n_arms))
        case "explore":
            return Guardrails(min_weight=min(0.1, 0.5 / n_arms))
    raise ValueError(f"unknown preset {name!r}, known are 'safe', 'neutral', 'explore'")


def project(
    target: NDArray[np.float64], lower: NDArray[np.float64] | float, upper: NDArray[np.float64] | float = 1.0
) -> NDArray[np.float64]:
    """Return the nearest point to `target`, in Euclidean distance, of {w: sum w = 1, lower <= w <= upper}.

    `target` has shape (K,), the limits too, or are one number for all. Every limit holds exactly; the sum is 1 within
    the rounding of K additions of numbers as large as the target's. Raises InfeasibleLimits when the limits leave no
    such point, ValueError when the target is not finite.
    """
    # Plain floats: for the few arms of one request, every numpy call would cost as much as the whole projection.
    values, low, high = target.tolist(), _for_each(lower, len(target)), _for_each(upper, len(target))
    shift = common_shift(values, low, high)
    return np.array(
        [min(max(value - shift, least), most) for value, least, most in zip(values, low, high, strict=True)]
    )


def common_shift(target: Sequence[float], lower: Sequence[float], upper: Sequence[float]) -> float:
    """Return the tau with sum of clip(target - tau, lower, upper) = 1, the multiplier of the projection's sum.

    By the Karush-Kuhn-Tucker conditions the projection is clip(target - tau, lower, upper) (Wang and Lu 2015,
    "Projection onto the capped simplex"). Its sum falls piecewise linearly in tau, with a kink where an arm leaves its
    upper limit and one where it reaches its lower: go through the sorted kinks to the piece that crosses 1, and solve
    that. Where the limits leave one point only, any tau that leads to it may be returned.
    """
    _check_limits(target, lower, upper)
    leaving = [(value - most, 1) for value, most in zip(target, upper, strict=True)]
    reaching = [(value - least, -1) for value, least in zip(target, lower, strict=True)]
    kinks = sorted(leaving + reaching)
    excess, n_free, at = sum(upper) - 1.0, 0, kinks[0][0]
    for kink, turn in kinks:
        fall = n_free * (kink - at)
        if fall > excess:
            return _solve_piece(target, lower, upper, 0.5 * (at + kink))
        excess, n_free, at = excess - fall, n_free + turn, kink
    return at


def _solve_piece(target: Sequence[float], lower: Sequence[float], upper: Sequence[float], inside: float) -> float:
    """Solve for tau on the piece that `inside` lies on, afresh, so that the walk's rounding errors are left behind."""
    terms, n_free = [-1.0], 0
    for value, least, most in zip(target, lower, upper, strict=True):
        if value - inside >= most:
            terms.append(most)
        elif value - inside <= least:
            terms.append(least)
        else:
            terms.append(value)
            n_free += 1
    return math.fsum(terms) / n_free if n_free else inside


def _for_each(limit: NDArray[np.float64] | float, n_arms: int) -> list[float]:
    limits: list[float] = limit.tolist() if isinstance(limit, np.ndarray) else [float(limit)] * n_arms
    return limits


def _check_limits(target: Sequence[float], lower: Sequence[float], upper: Sequence[float]) -> None:
    if not math.isfinite(sum(target)):
        raise ValueError(f"the weights to project must be finite, got {list(target)}")
    for position, (least, most) in enumerate(zip(lower, upper, strict=True)):
        if not least <= most:
            raise InfeasibleLimits(f"the lower limit {least:g} of weight {position} is above its upper limit {most:g}")
    if sum(lower) > 1.0 + FEASIBILITY_TOLERANCE:
        raise InfeasibleLimits(f"the lower limits add up to {sum(lower):.6g}, more than 1 (highest: {max(lower):g})")
    if sum(upper) < 1.0 - FEASIBILITY_TOLERANCE:
        raise InfeasibleLimits(f"the upper limits add up to {sum(upper):.6g}, less than 1 (lowest: {min(upper):g})")
