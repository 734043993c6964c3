"""Vectors over some of the arms, computed once for each version of the weights, beside the requests."""

from __future__ import annotations

import asyncio
from typing import Final

from bandit_core.rules.arm_selector import computed_subset
from bandit_core.rules.selection import WeightVector
from bandit_core.rules.served_experiment import ServedExperiment

_MOST_SUBSETS: Final = 256


class SubsetVectors:
    """Returns the exact vector of a subset, or the published one renormalised while that is being computed."""

    def __init__(self) -> None:
        self._computing: set[asyncio.Task[None]] = set()

    def __call__(self, served: ServedExperiment, eligible: frozenset[str]) -> WeightVector:
        subsets = served.subsets
        known = subsets.get(eligible)
        if known is None and eligible not in subsets and len(subsets) < _MOST_SUBSETS:
            subsets[eligible] = None
            task = asyncio.create_task(_compute(served, eligible))
            self._computing.add(task)
            task.add_done_callback(self._computing.discard)
        return known or served.published.among(eligible)


async def _compute(served: ServedExperiment, eligible: frozenset[str]) -> None:
    vector = await asyncio.to_thread(computed_subset, served, eligible)
    if vector.kind == "subset":
        served.subsets[eligible] = vector
