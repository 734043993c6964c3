"""What the speed was meant to be, and whether it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.contenders import BARE, EMPTY, NAIVE_REWARD, NAIVE_SELECT, REWARD, SELECT, SELECT_BATCH
from benchmarks.rounds import Result

type Results = Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure and the bound it was to keep, from below unless `at_most`."""

    text: str
    bound: float
    figure: Callable[[Results], float]
    at_most: bool = False

    def verdict(self, results: Results) -> str:
        figure = self.figure(results)
        shortfall = figure / self.bound - 1.0 if self.at_most else 1.0 - figure / self.bound
        return "met" if shortfall <= 0.0 else f"falls short by {shortfall:.0%}"


def _rate(name: str, reference: str) -> Callable[[Results], float]:
    return lambda results: results[name].per_second / results[reference].per_second


AIMS: Final = (
    Aim("/select: requests/s over (a)", 12.0, _rate(SELECT, NAIVE_SELECT)),
    Aim("/select: requests/s over (b)", 1.0, _rate(SELECT, EMPTY)),
    Aim("/select: requests/s over (c)", 0.4, _rate(SELECT, BARE)),
    Aim("/select: p99 over (c)'s", 3.0, lambda results: results[SELECT].p99 / results[BARE].p99, at_most=True),
    Aim("/reward: requests/s over (a)", 5.0, _rate(REWARD, NAIVE_REWARD)),
    Aim(f"{SELECT_BATCH}: decisions/s", 60_000.0, lambda results: results[SELECT_BATCH].per_second),
)
