"""How often an interval holds the truth, on simulated logs of a uniform policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from bandit_core.checks import check_number, check_whole
from bandit_core.ope.bootstrap import bootstrap_interval
from bandit_core.ope.diagnostics import MIN_REWARDED
from bandit_core.ope.evaluation import estimate
from bandit_core.ope.intervals import empirical_bernstein_interval
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.result import ConfidenceInterval, OPEResult

type Floats = NDArray[np.float64]
type Kind = Literal["normal", "bootstrap", "empirical Bernstein"]

KINDS: Final[tuple[Kind, ...]] = ("normal", "bootstrap", "empirical Bernstein")
RESAMPLES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Situation:
    """Logs of `rounds` decisions by a uniform policy over `n_arms` arms, and a policy that prefers the better ones.

    Arms earn 1 with probabilities from half of `rate` to one and a half times it, else 0. The evaluation policy plays
    each arm with a probability proportional to exp(`preference` × rank / n_arms).
    """

    rate: float
    n_arms: int = 10
    rounds: int = 2_000
    preference: float = 2.0

    def __post_init__(self) -> None:
        check_number("rate", self.rate, low=0.0, high=2.0 / 3.0, exclusive=True)
        check_whole("n_arms", self.n_arms, low=2)
        check_whole("rounds", self.rounds, low=2)

    @property
    def means(self) -> Floats:
        return np.linspace(0.5, 1.5, self.n_arms) * self.rate

    @property
    def target(self) -> Floats:
        likings = np.exp(self.preference * np.arange(self.n_arms) / self.n_arms)
        return np.asarray(likings / likings.sum())

    @property
    def truth(self) -> float:
        return float(self.target @ self.means)

    @property
    def max_weight(self) -> float:
        return self.n_arms * float(self.target.max())

    @property
    def rewarded_matches(self) -> float:
        """The effective number of rewarded matches to expect: n E[w r]² / E[(w r)²]."""
        earned, squared = self.target * self.means, self.n_arms * self.target**2 * self.means
        return self.rounds * float(earned.sum()) ** 2 / float(squared.sum())

    def log(self, rng: np.random.Generator) -> LoggedDecisions:
        arms = rng.integers(self.n_arms, size=self.rounds)
        rewards = (rng.random(self.rounds) < self.means[arms]).astype(np.float64)
        return LoggedDecisions(arms, rewards, np.full(self.rounds, 1.0 / self.n_arms), n_arms=self.n_arms)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of `runs` logs: how many intervals held the truth, and how many results warned of too few rewarded matches."""

    runs: int
    covered: int
    warned: int
    mean_width: float

    @property
    def share(self) -> float:
        return self.covered / self.runs


def coverage(
    situation: Situation,
    kinds: Sequence[Kind],
    *,
    method: Literal["ipw", "snipw"] = "ipw",
    runs: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> dict[Kind, Coverage]:
    """Return what each kind of interval does on the same `runs` logs; empirical Bernstein is for ipw only."""
    held, widths = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0)
    warned = 0
    for _ in range(runs):
        log = situation.log(rng)
        result = estimate(log, situation.target, method=method, level=level)
        warned += any(f"fewer than {MIN_REWARDED}" in warning for warning in result.warnings)
        for kind in kinds:
            interval = _interval(kind, situation, log, result, rng, level)
            held[kind] += interval.contains(situation.truth)
            widths[kind] += interval.width
    return {kind: Coverage(runs, held[kind], warned, widths[kind] / runs) for kind in kinds}


def _interval(
    kind: Kind,
    situation: Situation,
    log: LoggedDecisions,
    result: OPEResult,
    rng: np.random.Generator,
    level: float,
) -> ConfidenceInterval:
    method = result.method
    if kind == "bootstrap":
        return bootstrap_interval(log, situation.target, method=method, rng=rng, resamples=RESAMPLES, level=level)
    if kind == "empirical Bernstein":
        return empirical_bernstein_interval(
            log, situation.target, method=method, max_weight=situation.max_weight, level=level
        )
    return cast("ConfidenceInterval", result.interval)
