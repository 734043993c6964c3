"""What contextual decisions cost beside plain ones, and beside libraries that decide in the process of their caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.contenders import SELECT, SELECT_BATCH
from benchmarks.contextual import Shape
from benchmarks.references.linear_rivals import bandit_core_seconds, mabwiser_seconds, vowpal_wabbit_seconds
from benchmarks.rounds import Result
from benchmarks.table import Table

_PROCESSES = ("server", "Redis", "Postgres")
_COLUMNS = (
    "what",
    "per second",
    "server µs",
    "Redis µs",
    "Postgres µs",
    "all µs",
    "× plain",
    "bandit-core µs",
    "MABWiser µs",
    "×",
    "VW µs",
    "×",
)
_COMPARED = (
    "Processor time of all processes for a decision, its way into Postgres included. Plain is a decision without a "
    "context, alone or in a batch, of the same run."
)
_LIBRARIES = (
    "bandit-core, MABWiser and Vowpal Wabbit decide in process and record nothing; the ratios are those of all "
    "processes to them. bandit-core returns every arm's exact probability, MABWiser none. Vowpal Wabbit has neither "
    "policy: RegCB stands beside LinUCB, ten bootstrapped models beside Thompson sampling, one decision at a time."
)


def contextual_table(results: Mapping[str, Result], shapes: Sequence[Shape]) -> Table:
    """Return what was measured, and measure the libraries now."""
    plain = [(name, *_costs(results[name]), "1.00", *[""] * 5) for name in (SELECT, SELECT_BATCH)]
    return Table(
        "Contextual decisions", _COLUMNS, [*plain, *(_row(shape, results) for shape in shapes)], (_COMPARED, _LIBRARIES)
    )


def _row(shape: Shape, results: Mapping[str, Result]) -> tuple[str, ...]:
    result, plain = results[shape.name], results[SELECT_BATCH if shape.batch > 1 else SELECT]
    ours, mabwiser, vw = (1e6 * f(shape) for f in (bandit_core_seconds, mabwiser_seconds, vowpal_wabbit_seconds))
    return (
        shape.name,
        *_costs(result),
        f"{_all(result) / _all(plain):.2f}",
        f"{ours:,.1f}",
        f"{mabwiser:,.1f}",
        f"{_all(result) / mabwiser:.1f}",
        f"{vw:,.1f}",
        f"{_all(result) / vw:.1f}",
    )


def _costs(result: Result) -> tuple[str, ...]:
    parts = (f"{result.cpu(process) or 0.0:.0f}" for process in _PROCESSES)
    return (f"{result.per_second:,.0f}", *parts, f"{_all(result):.0f}")


def _all(result: Result) -> float:
    return sum(result.cpu(process) or 0.0 for process in _PROCESSES)
