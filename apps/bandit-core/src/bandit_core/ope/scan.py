"""The estimators over a log that does not fit in memory: sums over its parts that merge into those of the whole."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from bandit_core.ope.estimators import Method
from bandit_core.ope.evaluation import summarise
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.moments import Moments
from bandit_core.ope.result import OPEResult
from bandit_core.ope.rounds import EvaluationInput, Rounds, Support
from bandit_core.ope.tables import ArmTable, ArmValues

if TYPE_CHECKING:
    import polars as pl

type ByFrame = Callable[["pl.DataFrame"], ArrayLike]
"""Numbers per arm computed from a batch of m rows: (m, n_arms)."""

BATCH_ROWS = 500_000
"""Rows in memory at once, about as many as a usual row group of a Parquet file."""


@dataclass(frozen=True, eq=False)
class SufficientStatistics:
    """What the estimates need to know of some rows. Those of several parts of a log merge, in any order."""

    methods: tuple[Method, ...]
    moments: tuple[Moments, ...]
    support: Support

    @classmethod
    def of(
        cls, log: LoggedDecisions, target: ArmValues, *, methods: Sequence[Method], q_hat: ArmValues | None = None
    ) -> Self:
        """Return those of a log in memory; parameters and errors are those of `evaluation.estimate_all`."""
        blocks = EvaluationInput.of(log, target, q_hat).blocks()
        return reduce(cls.merge, (cls._of_rounds(rounds, tuple(methods)) for rounds in blocks))

    @classmethod
    def _of_rounds(cls, rounds: Rounds, methods: tuple[Method, ...]) -> Self:
        moments = tuple(Moments.of(rounds, method.contribute(rounds)) for method in methods)
        return cls(methods, moments, rounds.support)

    def merge(self, other: Self) -> Self:
        """Return those of both sets of rows; ValueError unless the methods are the same."""
        if self.methods != other.methods:
            raise ValueError("only statistics of the same methods can be merged")
        merged = tuple(mine.merge(theirs) for mine, theirs in zip(self.moments, other.moments, strict=True))
        return type(self)(self.methods, merged, self.support + other.support)

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.moments[0].n

    def results(self, *, adaptive: bool = False, level: float = 0.95) -> list[OPEResult]:
        """Return what the rows amount to, by every method; `adaptive` as in `LoggedDecisions`."""
        return [
            summarise(method, moments, self.support, adaptive=adaptive, level=level)
            for method, moments in zip(self.methods, self.moments, strict=True)
        ]


def scan(
    source: "str | Path | pl.LazyFrame | pl.DataFrame",
    target: ArrayLike | ByFrame,
    *,
    methods: Sequence[Method],
    q_hat: ArrayLike | ByFrame | None = None,
    n_positions: int | None = None,
    contexts: Sequence[str] = (),
    arm_names: Sequence[str] | None = None,
    storage_options: dict[str, Any] | None = None,
    batch_rows: int = BATCH_ROWS,
    progress: Callable[[int, int], None] | None = None,
) -> SufficientStatistics:
    """Go through a log once, batch by batch, and return what the estimates need; `results()` gives them.

    source: a Parquet file, a pattern of files, or an S3 URL (with `storage_options` as Polars takes them, for example
    aws_endpoint_url), or a frame of Polars; of a lazy one columns can be renamed and rows chosen. Columns are those of
    `LoggedDecisions.from_frame`: arm, reward, propensity, and position where `n_positions` is given; arms and
    positions count from 0. Other columns are not read, except for `contexts`. `arm_names` are all arms in the order in
    which target and q_hat have them, where the log has names.

    target, q_hat: (n_arms,) or (n_positions, n_arms), or a function that computes (m, n_arms) from a batch, a frame
    with those columns and the contexts.

    progress is called with rows done and rows in all after every batch. At least one method; memory holds a batch, and
    n_arms numbers for each of its rows where a function gives them, whatever the length of the log.

    Agrees with `evaluation.estimate_all` on the same rows up to rounding. ValueError for a log without rows, and as
    `estimate_all`, with the rows of the batch. Polars raises its own errors for what cannot be read. Needs the extra
    `bandit-core[ope]`.
    """
    if not methods:
        raise ValueError("a scan needs at least one method, for example Method('snipw')")
    frame = _columns(source, n_positions, contexts, storage_options)
    total = _length(frame) if progress else 0
    statistics: SufficientStatistics | None = None
    for start, batch in _batches(frame, batch_rows):
        try:
            part = _of_batch(batch, target, methods, q_hat, n_positions or 1, arm_names)
        except ValueError as error:
            raise ValueError(f"in the batch of rows {start:,} to {start + len(batch) - 1:,}: {error}") from error
        statistics = part if statistics is None else statistics.merge(part)
        if progress:
            progress(start + len(batch), total)
    if statistics is None:
        raise ValueError("the log has no rows")
    return statistics


def _columns(
    source: "str | Path | pl.LazyFrame | pl.DataFrame",
    n_positions: int | None,
    contexts: Sequence[str],
    options: dict[str, Any] | None,
) -> "pl.LazyFrame":
    import polars as pl

    names = ["arm", "reward", "propensity", *([] if n_positions is None else ["position"]), *contexts]
    if isinstance(source, str | Path):
        return pl.scan_parquet(source, storage_options=options).select(names)
    if not isinstance(source, pl.LazyFrame | pl.DataFrame):
        raise ValueError(  # noqa: TRY004
            f"a scan reads Parquet files or a frame of Polars, got {type(source).__name__}: for a frame of pandas, "
            "which is in memory, use LoggedDecisions.from_frame and evaluation.estimate_all"
        )
    return source.lazy().select(names)


def _length(frame: "pl.LazyFrame") -> int:
    import polars as pl

    return int(frame.select(pl.len()).collect().item())


def _batches(frame: "pl.LazyFrame", rows: int) -> Iterator[tuple[int, "pl.DataFrame"]]:
    start = 0
    for batch in frame.collect_batches(chunk_size=rows, maintain_order=True):
        if len(batch):
            yield start, batch
        start += len(batch)


def _of_batch(
    batch: "pl.DataFrame",
    target: ArrayLike | ByFrame,
    methods: Sequence[Method],
    q_hat: ArrayLike | ByFrame | None,
    n_positions: int,
    arm_names: Sequence[str] | None,
) -> SufficientStatistics:
    probabilities = _table(target, batch, n_positions)
    model = None if q_hat is None else _table(q_hat, batch, n_positions)
    n_arms = probabilities.values.shape[-1]
    log = LoggedDecisions.from_frame(batch, n_arms=n_arms, n_positions=n_positions, arm_names=arm_names)
    return SufficientStatistics.of(log, probabilities, methods=methods, q_hat=model)


def _table(given: ArrayLike | ByFrame, batch: "pl.DataFrame", n_positions: int) -> ArmTable:
    if callable(given):
        return ArmTable(np.atleast_2d(np.asarray(given(batch), dtype=np.float64)), by_round=True)
    values = np.asarray(given, dtype=np.float64)
    return ArmTable(np.tile(values, (n_positions, 1)) if values.ndim == 1 else values, by_round=False)
