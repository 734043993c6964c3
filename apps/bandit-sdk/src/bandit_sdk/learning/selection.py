"""From beliefs to the arms of one selection, with the probability it was drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bandit_core.assignment import draw
from bandit_core.policies.base import Beliefs
from bandit_core.slates import draw_slate, slate_probability
from bandit_sdk.learning.arms import Arm
from bandit_sdk.learning.strategies import Strategy, ThompsonSampling


@dataclass(frozen=True, slots=True)
class SelectionResult:
    """What was selected, and how likely that was.

    Attributes:
        selected: The arms in order, at most as many as were asked for; fewer when the token budget is spent.
        propensities: For each of them the probability of being drawn at its place, given the arms before it.
        propensity: The probability of the whole selection, which is their product.
        is_baseline: The arms were drawn evenly (`baseline_rate`). Propensities count both ways to the same arms.
        used_tokens: The tokens that the selected arms cost together.
    """

    selected: tuple[Arm, ...]
    propensities: tuple[float, ...]
    propensity: float
    is_baseline: bool
    used_tokens: int


@dataclass(frozen=True, slots=True)
class Selector:
    """How selections are made: by a strategy, and a share `baseline_rate` of them evenly at random."""

    strategy: Strategy
    baseline_rate: float
    rng: np.random.Generator

    def select(self, arms: Sequence[Arm], beliefs: Beliefs, *, k: int, max_tokens: int | None) -> SelectionResult:
        """Select up to k of the arms, which the beliefs are about in the same order.

        Thompson sampling ranks the arms by one sample of their posteriors. Where a token budget may decide along the
        way, and for other strategies, places are filled one after another, each by a draw of its own among the arms
        that are left and fit. All probabilities are exact.
        """
        k = min(k, len(arms))
        is_baseline = bool(self.rng.random() < self.baseline_rate)
        if k > 1 and isinstance(self.strategy, ThompsonSampling) and _always_fit(arms, k, max_tokens):
            chosen, reached = self._ranked(beliefs, k, is_baseline=is_baseline)
        else:
            chosen, reached = self._filled(arms, beliefs, k, max_tokens, is_baseline=is_baseline)
        selected = tuple(arms[index] for index in chosen)
        propensities = tuple(after / before for before, after in pairwise([1.0, *reached]))
        used_tokens = sum(arm.token_cost for arm in selected)
        return SelectionResult(selected, propensities, [1.0, *reached][-1], is_baseline, used_tokens)

    def _ranked(self, beliefs: Beliefs, k: int, *, is_baseline: bool) -> tuple[list[int], list[float]]:
        """Return arms by index, and the probability of the places up to each of them."""
        drawn = draw_slate(beliefs.alpha, beliefs.beta, k, 1.0 if is_baseline else 0.0, self.rng).arms
        reached = [
            slate_probability(beliefs.alpha, beliefs.beta, drawn[: place + 1], self.baseline_rate) for place in range(k)
        ]
        return list(drawn), reached

    def _filled(
        self, arms: Sequence[Arm], beliefs: Beliefs, k: int, max_tokens: int | None, *, is_baseline: bool
    ) -> tuple[list[int], list[float]]:
        """Return arms by index, and the probability of the places up to each of them."""
        costs = np.array([arm.token_cost for arm in arms])
        left = np.inf if max_tokens is None else float(max_tokens)
        waiting = np.ones(len(arms), dtype=np.bool_)
        chosen: list[int] = []
        reached: list[float] = []
        by_strategy = evenly = 1.0
        while len(chosen) < k and (fitting := waiting & (costs <= left)).any():
            weights = _weights(self.strategy, beliefs.subset(fitting))
            even = np.full(len(weights), 1.0 / len(weights))
            drawn = draw(even if is_baseline else weights, float(self.rng.random()))
            by_strategy *= float(weights[drawn])
            evenly *= float(even[drawn])
            reached.append((1.0 - self.baseline_rate) * by_strategy + self.baseline_rate * evenly)
            index = int(np.flatnonzero(fitting)[drawn])
            chosen.append(index)
            waiting[index] = False
            left -= costs[index]
        return chosen, reached


def _always_fit(arms: Sequence[Arm], k: int, max_tokens: int | None) -> bool:
    """Say whether any k of the arms stay within the budget."""
    return max_tokens is None or sum(sorted(arm.token_cost for arm in arms)[-k:]) <= max_tokens


def _weights(strategy: Strategy, beliefs: Beliefs) -> NDArray[np.float64]:
    weights = strategy.weights(beliefs)
    if weights.shape != (len(beliefs.arms),):
        raise ValueError(f"the strategy gave weights of shape {weights.shape} for {len(beliefs.arms)} arms")
    return weights
