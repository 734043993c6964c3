"""How often the effect condition is wrong, how often it finds a difference, and whether its intervals hold."""

from dataclasses import dataclass

import numpy as np

from bandit_core.adaptive.effect import Effects, effects
from studies.moving_worlds import Design, FirstWinner, Floats, Look, Rates, play, prob_best_holds


@dataclass(frozen=True, slots=True)
class Sequences:
    """Shares of runs.

    `right` and `wrong`: the effect condition announced the best arm, or another one. `prob_best`: the default rule on
    P(best) announced any. `covered`: the intervals of all pairs held the running average of their difference at all
    looks together, at 1 − α / (number of pairs) each. `width`: the median width of a pair's interval beside one for a
    single look at the end.
    """

    right: float
    wrong: float
    prob_best: float
    covered: float
    width: float


def sequences(
    rates: Rates,
    design: Design,
    *,
    decisions: int,
    runs: int,
    best: int | None,
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> Sequences:
    """Play experiments with a look at every version; `best` None: all arms are equal, so any winner is wrong."""
    arms = len(rates(0.0))
    announced, likely = FirstWinner(runs), FirstWinner(runs)
    error = (1.0 - confidence) / (arms * (arms - 1) / 2)
    target = _RunningTarget(rates, design, (runs, arms, arms))
    covered, found = np.ones(runs, dtype=np.bool_), None
    for look in play(rates, design, decisions=decisions, runs=runs, rng=rng):
        found = effects(look.sums)
        announced.announce(found.advantage(confidence) > 0.0, look.decisions)
        likely.announce(prob_best_holds(look), look.decisions)
        covered &= (np.abs(found.difference - target.at(look)) <= found.half_width(error) + 1e-12).all(axis=(1, 2))
    right = 0.0 if best is None else announced.share(best)
    return Sequences(
        right=right,
        wrong=1.0 - announced.share(-1) - right,
        prob_best=1.0 - likely.share(-1),
        covered=float(covered.mean()),
        width=0.0 if found is None else _relative_width(found, error),
    )


def _relative_width(found: Effects, error: float) -> float:
    pairs = np.triu_indices(found.difference.shape[-1], 1)
    with np.errstate(invalid="ignore"):
        widths = found.half_width(error)[:, *pairs] / found.fixed_half_width(error)[:, *pairs]
    return float(np.median(widths[np.isfinite(widths)]))


class _RunningTarget:
    """The average difference of each pair (runs, K, K), in the weights in time that a pair's sums have.

    A version counts with n w_i w_j / (w_i + w_j), of which Σq over arm i and over arm j are both estimates.
    """

    def __init__(self, rates: Rates, design: Design, shape: tuple[int, ...]) -> None:
        self._rates, self._design = rates, design
        self._weighted, self._weight = np.zeros(shape), np.zeros(shape)

    def at(self, look: Look) -> Floats:
        """Take in the newest version, all of whose rewards are known, and return the target (runs, K, K)."""
        now = self._rates(look.decisions - self._design.every / 2)
        weight = (look.weights[:, :, None] * look.weights[:, None, :]) / (
            look.weights[:, :, None] + look.weights[:, None, :]
        )
        self._weighted = self._weighted + weight * (now[:, None] - now)
        self._weight = self._weight + weight
        return self._weighted / self._weight
