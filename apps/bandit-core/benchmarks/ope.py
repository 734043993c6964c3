"""Off-policy evaluation beside the Open Bandit Pipeline, or beside plain numpy doing what it does.

Run as `PYTHONPATH=apps/bandit-core python -m benchmarks.ope`; it prints a line per comparison. The reference is obp
itself where it can be imported, which needs torch and more.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from time import perf_counter
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from bandit_core.ope.bootstrap import bootstrap_interval
from bandit_core.ope.estimators import Method
from bandit_core.ope.evaluation import estimate_all
from bandit_core.ope.logged import LoggedDecisions

type Floats = NDArray[np.float64]

N_ARMS = 10
ROUNDS, BOOTSTRAP_ROUNDS, RESAMPLES = 1_000_000, 100_000, 1_000
TIMES = 5
METHODS = (Method("ipw"), Method("snipw"), Method("dr"))


@dataclass(frozen=True, slots=True)
class Measured:
    """The best of several times, in seconds; `aim` is how many times faster than the reference it should be."""

    what: str
    seconds: float
    reference: str
    reference_seconds: float
    aim: float

    @property
    def ratio(self) -> float:
        return self.reference_seconds / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.what}: {1_000 * self.seconds:,.1f} ms; {self.reference} {1_000 * self.reference_seconds:,.1f} ms "
            f"({self.ratio:.1f} times; the aim beside obp is {self.aim:g} times)"
        )


def ope_benchmarks(*, rounds: int = ROUNDS, bootstrap_rounds: int = BOOTSTRAP_ROUNDS) -> Iterator[Measured]:
    """Measure the three estimators on a log of `rounds`, and the bootstrap on one of `bootstrap_rounds`."""
    obp = _obp()
    references: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
        "numpy": (_by_numpy, _numpy_resamples)
    }
    if obp is not None:
        references["obp"] = (partial(_by_obp, obp), partial(_obp_resamples, obp))
    log, target, q_hat = _problem(rounds)
    ours = _best(lambda: estimate_all(log, target, methods=METHODS, q_hat=q_hat))
    what = f"IPW, SNIPW and DR with standard errors on {rounds:,} rounds × {N_ARMS} arms"
    for name, (estimate, _) in references.items():
        yield Measured(what, ours, name, _best(partial(estimate, log, target, q_hat)), aim=12)
    log, target, _ = _problem(bootstrap_rounds)
    rng = np.random.default_rng(0)
    ours = _best(lambda: bootstrap_interval(log, target, method="ipw", resamples=RESAMPLES, rng=rng))
    contributions = target[np.arange(len(log)), log.arms] / log.propensities * log.rewards
    what = f"{RESAMPLES:,} bootstrap resamples of IPW on {bootstrap_rounds:,} rounds"
    for name, (_, resample) in references.items():
        yield Measured(what, ours, name, _best(partial(resample, contributions), times=2), aim=8)


def _problem(rounds: int) -> tuple[LoggedDecisions, Floats, Floats]:
    rng = np.random.default_rng(1)
    arms = rng.integers(N_ARMS, size=rounds)
    rewards = (rng.random(rounds) < 0.05).astype(np.float64)
    log = LoggedDecisions(arms, rewards, np.full(rounds, 1.0 / N_ARMS), n_arms=N_ARMS)
    return log, rng.dirichlet(np.ones(N_ARMS), rounds), 0.1 * rng.random((rounds, N_ARMS))


def _best(run: Callable[[], object], times: int = TIMES) -> float:
    """Return the shortest time of several, after one run that compiles what is compiled."""
    run()
    taken = []
    for _ in range(times):
        start = perf_counter()
        run()
        taken.append(perf_counter() - start)
    return min(taken)


def _by_numpy(log: LoggedDecisions, target: Floats, q_hat: Floats) -> tuple[float, ...]:
    """The estimates alone, without standard errors, computed as obp does."""
    rows = np.arange(len(log))
    weights = target[rows, log.arms] / log.propensities
    robust = np.average(q_hat, weights=target, axis=1) + weights * (log.rewards - q_hat[rows, log.arms])
    earned = weights * log.rewards
    return float(earned.mean()), float((earned / weights.mean()).mean()), float(robust.mean())


def _numpy_resamples(contributions: Floats) -> Floats:
    random = np.random.RandomState(0)
    means = [np.mean(random.choice(contributions, size=len(contributions))) for _ in range(RESAMPLES)]
    return np.asarray(np.percentile(means, [2.5, 97.5]))


def _by_obp(obp: ModuleType, log: LoggedDecisions, target: Floats, q_hat: Floats) -> list[float]:
    given = {
        "reward": log.rewards,
        "action": log.arms,
        "pscore": log.propensities,
        "action_dist": target[:, :, np.newaxis],
        "position": np.zeros(len(log), dtype=np.int64),
        "estimated_rewards_by_reg_model": q_hat[:, :, np.newaxis],
    }
    names = ("InverseProbabilityWeighting", "SelfNormalizedInverseProbabilityWeighting", "DoublyRobust")
    return [getattr(obp.ope, name)().estimate_policy_value(**given) for name in names]


def _obp_resamples(obp: ModuleType, contributions: Floats) -> object:
    return obp.utils.estimate_confidence_interval_by_bootstrap(
        contributions, n_bootstrap_samples=RESAMPLES, random_state=0
    )


def _obp() -> ModuleType | None:
    """Return obp, or None where it, or something that it imports, is not installed."""
    try:
        import_module("obp.ope")
        import_module("obp.utils")
        return import_module("obp")
    except ModuleNotFoundError:
        return None


if __name__ == "__main__":
    for measured in ope_benchmarks():
        sys.stdout.write(f"{measured}\n")
