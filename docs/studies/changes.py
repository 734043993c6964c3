"""How often the search for changes and the comparison with pooled means find something, with and without a cause."""

from dataclasses import dataclass

import numpy as np

from bandit_core.adaptive.change_point import THRESHOLD, change_statistics
from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.reward_findings import CLEAR, disagreement_statistics
from studies.moving_worlds import Design, Rates, play

PERIODS = 20
"""The search looks at the end of each of so many periods of equal length."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """Shares of runs in which a change was found by any look, and in which pooled and robust means disagreed.

    `median` is the number of decisions by which half of the runs found a change, None if fewer did.
    """

    change: float
    median: int | None
    disagreement: float


def alarms(rates: Rates, design: Design, *, decisions: int, runs: int, rng: np.random.Generator) -> Alarms:
    """Play `runs` experiments of two arms and search after every period."""
    length = decisions // PERIODS
    cuts: list[PairSums] = []
    found, differ = np.full(runs, decisions + 1), np.zeros(runs, dtype=np.bool_)
    for look in play(rates, design, decisions=decisions, runs=runs, rng=rng):
        if look.decisions % length:
            continue
        statistic, _, _ = disagreement_statistics(look.sums)
        differ |= np.abs(statistic[:, 0, 1]) >= CLEAR
        for cut in cuts:
            change, _, _ = change_statistics(cut, _less(look.sums, cut))
            new = (change[:, 0, 1] >= THRESHOLD) & (found > decisions)
            found[new] = look.decisions
        cuts.append(look.sums)
    half = int(np.sort(found)[(runs - 1) // 2])
    return Alarms(float((found <= decisions).mean()), half if half <= decisions else None, float(differ.mean()))


def _less(sums: PairSums, part: PairSums) -> PairSums:
    return PairSums(*(getattr(sums, name) - getattr(part, name) for name in PairSums.__slots__))
