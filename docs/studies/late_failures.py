"""Successes that come soon and failures that are known when the window closes, under four ways to count.

`ignore`: a reward counts when it comes, as with an application that reports failures late. `closed`: a decision counts
when its window has closed, whatever it came to. `share`: as `closed`, and for the choice of weights an open decision
counts by the share of successes usual at its age. `failures`: as `closed`, and for the choice of weights an open
decision is a failure until its success comes. Verdicts come from closed decisions, except under `ignore`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.pending import counted_decisions, usual_share
from bandit_core.adaptive.reward_findings import failures_come_later
from studies.moving_worlds import Design, FirstWinner, Floats, Kind, floored, prob_best

type Counting = Literal["ignore", "closed", "share", "failures"]

PRIOR = np.ones((2, 2))


@dataclass(frozen=True, slots=True)
class Lateness:
    """`window` in decisions; successes take an exponential time with a mean of `mean` windows, cut off at its end.

    `paces` multiply that time for each arm.
    """

    window: int = 1_000
    mean: float = 0.3
    paces: tuple[float, float] = (1.0, 1.0)

    def arrivals(self, every: int) -> Floats:
        """Return the chance (2, A) that a success comes at each step of age."""
        steps = self.window // every
        age = np.arange(1, steps + 1) / steps
        come = 1.0 - np.exp(-age / (self.mean * np.array(self.paces)[:, None]))
        arrivals: Floats = np.diff(come / come[:, -1:], prepend=0.0, axis=1)
        return arrivals


@dataclass(frozen=True, slots=True, eq=False)
class LateFailures:
    """Shares of runs that announced the second arm or the first, regret of each run, share in which it is found."""

    second: float
    first: float
    regret: Floats
    found: float


def late_failures(
    rates: tuple[float, float],
    lateness: Lateness,
    counting: Counting,
    *,
    decisions: int,
    runs: int,
    rng: np.random.Generator,
    floor: float = 0.01,
    every: int = 100,
    beliefs: Kind = "time_robust",
) -> LateFailures:
    """Play `runs` experiments, whose winner is announced by P(best) ≥ 0.95 from 2,000 decisions on, 100 of each arm."""
    truth, arrivals = np.array(rates), lateness.arrivals(every)
    steps, design = arrivals.shape[1], Design(beliefs, floor, every, exact=False)
    weights = np.full((runs, 2), 0.5)
    closed = PairSums.zeros(2, (runs,))
    seen, failed = np.zeros((runs, 2, steps)), np.zeros(runs)
    ring: list[tuple[Floats, Floats, Floats]] = []
    announced, regret = FirstWinner(runs), np.zeros(runs)
    for start in range(0, decisions, every):
        chosen = rng.multinomial(every, weights)
        regret = regret + chosen @ (truth.max() - truth)
        won = rng.multinomial(rng.binomial(chosen, truth), arrivals)
        ring.append((weights, chosen.astype(np.float64), won.astype(np.float64)))
        if len(ring) == steps:
            drawn_from, count, come = ring.pop(0)
            closed = closed + PairSums.of(drawn_from, count, come.sum(-1), come.sum(-1))
            seen = seen + come
            failed = failed + (count - come.sum(-1)).sum(-1)
        learnt = closed + _open(ring, counting, usual_share(seen), (runs, steps))
        judged = learnt if counting == "ignore" else closed
        best = prob_best(judged, PRIOR, design)
        enough = (judged.count.min(axis=1, keepdims=True) >= 100) & (start + every >= 2_000)
        announced.announce((best >= 0.95) & enough, start + every)
        weights = floored(prob_best(learnt, PRIOR, design), floor)
    at_end = np.zeros(steps)
    at_end[-1] = 1.0
    named = [
        failures_come_later(of_run.sum(axis=0), late * at_end) is not None
        for of_run, late in zip(seen, failed.tolist(), strict=True)
    ]
    return LateFailures(announced.share(1), announced.share(0), regret, float(np.mean(named)))


def _open(
    ring: list[tuple[Floats, Floats, Floats]], counting: Counting, share: Floats, shape: tuple[int, int]
) -> PairSums:
    """Return what open decisions count as. The oldest in the ring is `steps` − 1 looks old at most."""
    runs, _ = shape
    result = PairSums.zeros(2, (runs,))
    if counting == "closed":
        return result
    for age, (drawn_from, count, come) in enumerate(reversed(ring)):
        successes = come[..., : age + 1].sum(-1)
        match counting:
            case "ignore":
                decisions = successes
            case "failures":
                decisions = count
            case _:
                decisions = counted_decisions(count, share[..., age])
        result = result + PairSums.of(drawn_from, decisions, successes, successes)
    return result
