"""Bootstrap intervals: how an estimate varies when the log's rounds are drawn again, with replacement.

Drawing n of n rounds is done in two exact steps. First how many draws fall into each run of 256 consecutive rounds (a
multinomial), then which rounds of the run they are: one byte per draw, from a stretch of memory that stays in cache.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bandit_core.checks import check_whole
from bandit_core.ope.estimators import Contributions, Method
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.result import ConfidenceInterval, check_level
from bandit_core.ope.rounds import EvaluationInput
from bandit_core.ope.tables import ArmValues

type Floats = NDArray[np.float64]

DRAWS = 2**21
"""About how many rounds one task draws."""

MIN_RESAMPLES = 100


def bootstrap_interval(
    log: LoggedDecisions,
    target: ArmValues,
    *,
    method: str,
    rng: np.random.Generator,
    q_hat: ArmValues | None = None,
    threshold: float | None = None,
    resamples: int = 1_000,
    level: float = 0.95,
) -> ConfidenceInterval:
    """Return the percentile interval of an estimate (Efron 1979; Efron and Tibshirani 1993, section 13.3).

    q_hat is taken as given, not fitted again. The result depends on rng's state alone, not on the number of processors.
    ValueError for an adaptive log, and as `bandit_core.ope.evaluation.estimate`.
    """
    check_level(level)
    if log.adaptive:
        raise ValueError(
            "the bootstrap draws rounds as if they were independent, and this log's policy learned from its own "
            "rewards: each propensity depends on earlier rewards. Use a confidence sequence"
        )
    contributed = Method(method, threshold).contribute(EvaluationInput.of(log, target, q_hat).rounds())
    values = resampled_estimates(contributed, resamples=resamples, rng=rng)
    if np.isnan(values).any():
        raise ValueError("a resample holds no round of positive weight: this log has too few to be drawn again")
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(values, [tail, 100.0 - tail]).tolist()
    return ConfidenceInterval(low, high, level, kind="bootstrap")


def resampled_estimates(contributed: Contributions, *, resamples: int, rng: np.random.Generator) -> Floats:
    """Return the estimates (resamples,) from rounds drawn again; nan where no drawn round has a share.

    ValueError for fewer than 100 resamples.
    """
    check_whole("resamples", resamples, low=MIN_RESAMPLES)
    if contributed.share is None:
        mean_of = contributed.gain if contributed.baseline is None else contributed.gain + contributed.baseline
        return _resampled_sums(mean_of[np.newaxis], resamples, rng)[:, 0] / len(mean_of)
    columns = contributed.columns()
    baseline, gain, share = _resampled_sums(columns, resamples, rng).T
    ratio: Floats = np.divide(gain, share, out=np.full(resamples, np.nan), where=share > 0.0)
    return np.asarray(baseline / columns.shape[1] + ratio)


def _resampled_sums(columns: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Return the sums (resamples, c) of columns (c, n) over n rounds drawn with replacement."""
    from bandit_core.ope import kernels

    n = columns.shape[1]
    sizes = np.full(-(-n // kernels.RUN), kernels.RUN)
    sizes[-1] = n - kernels.RUN * (len(sizes) - 1)

    def draw(task: tuple[int, np.random.Generator]) -> Floats:
        size, generator = task
        counts = generator.multinomial(n, sizes / n, size=size)
        sums = np.empty((size, len(columns)))
        kernels.sum_resamples(columns, counts, generator.integers(0, 2**64, size=size, dtype=np.uint64), sums)
        return sums

    batch = -(-DRAWS // n)
    sizes_of_tasks = [min(batch, resamples - start) for start in range(0, resamples, batch)]
    tasks = list(zip(sizes_of_tasks, rng.spawn(len(sizes_of_tasks)), strict=True))
    if len(tasks) == 1:
        return draw(tasks[0])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(draw, tasks)))
