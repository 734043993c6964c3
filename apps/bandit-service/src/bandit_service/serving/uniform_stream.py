"""Uniform random numbers one at a time, drawn from a Generator in blocks because a request needs just one."""

from __future__ import annotations

import numpy as np


class UniformStream:
    """A stream of uniform numbers in [0, 1)."""

    def __init__(self, rng: np.random.Generator, block: int = 4_096) -> None:
        self._rng = rng
        self._block = block
        self._numbers: list[float] = []

    def next(self) -> float:
        if not self._numbers:
            self._numbers = self._rng.random(self._block).tolist()
        return self._numbers.pop()
