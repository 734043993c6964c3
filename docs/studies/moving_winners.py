"""Who is announced by P(best), and what it costs, while rewards and weights move."""

from dataclasses import dataclass

import numpy as np

from studies.moving_worlds import Design, FirstWinner, Floats, Rates, play, prob_best_holds


@dataclass(frozen=True, slots=True, eq=False)
class Winners:
    """Shares of runs that announced the best arm or another one, and the regret of each run."""

    right: float
    wrong: float
    regret: Floats

    @property
    def upper_wrong(self) -> float:
        """The upper end of a 95% interval of the share of wrong winners (Wilson 1927)."""
        n, z = len(self.regret), 1.96
        center = self.wrong + z * z / (2 * n)
        spread = z * float(np.sqrt(self.wrong * (1.0 - self.wrong) / n + z * z / (4 * n * n)))
        return (center + spread) / (1.0 + z * z / n)


def winners(
    rates: Rates, design: Design, *, decisions: int, runs: int, best: int | None, rng: np.random.Generator
) -> Winners:
    """Announce winners by P(best) ≥ 0.95 from 2,000 decisions on, 100 of each arm; `best` None: any winner is wrong."""
    announced, regret = FirstWinner(runs), np.zeros(runs)
    for look in play(rates, design, decisions=decisions, runs=runs, rng=rng):
        announced.announce(prob_best_holds(look), look.decisions)
        regret = look.regret
    right = 0.0 if best is None else announced.share(best)
    return Winners(right, 1.0 - announced.share(-1) - right, regret)


def ratio(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Return the ratio of two mean regrets of independent runs, and its standard error."""
    value = float(ours.mean() / theirs.mean())
    relative = [float(each.std(ddof=1) / each.mean()) / np.sqrt(len(each)) for each in (ours, theirs)]
    return value, value * float(np.hypot(*relative))
