"""What the rounds came to, as tables."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.aims import AIMS
from benchmarks.contenders import BARE, EMPTY, NAIVE_REWARD, NAIVE_SELECT, REWARD
from benchmarks.rounds import Pace, Result
from benchmarks.table import Table


def side_by_side(results: Mapping[str, Result], pace: Pace, generator: str) -> Table:
    """Return every contender beside the references."""
    columns = ("endpoint", "per second", "slowest–fastest round", "p50 ms", "p99 ms", "× (a)", "× (b)", "× (c)")
    rows = [
        (
            name,
            f"{result.per_second:,.0f}",
            f"{result.spread[0]:,.0f}–{result.spread[1]:,.0f}",
            f"{result.p50:.2f}",
            f"{result.p99:.2f}",
            *(_ratio(result, results[reference]) for reference in _references(name)),
        )
        for name, result in results.items()
    ]
    title = f"{pace.connections} connections, medians of {pace.rounds} rounds of {pace.seconds} s, load by {generator}"
    return Table(title, columns, rows, ("A batch counts its decisions, and its percentiles are of whole batches.",))


def processor_time(results: Mapping[str, Result]) -> Table:
    """Return what an answer costs in processor time, its way into Postgres included."""
    names = ("server", "Redis", "Postgres")
    rows = [
        (name, *(_microseconds(result.cpu(process)) for process in names), f"{result.unwritten:,}")
        for name, result in results.items()
    ]
    note = "Processor time depends less on what else the machine does than requests per second do."
    return Table(
        "Processor time per answer", ("endpoint", *(f"{n} µs" for n in names), "unwritten at end"), rows, (note,)
    )


def aims(results: Mapping[str, Result]) -> Table:
    """Return each aim with the figure that was measured."""
    rows = [
        (
            aim.text,
            f"{'at most' if aim.at_most else 'at least'} {aim.bound:,g}",
            f"{aim.figure(results):,.2f}",
            aim.verdict(results),
        )
        for aim in AIMS
    ]
    return Table("Aims", ("figure", "aim", "measured", ""), rows)


def _references(name: str) -> tuple[str, str, str]:
    return NAIVE_REWARD if name in (REWARD, NAIVE_REWARD) else NAIVE_SELECT, EMPTY, BARE


def _ratio(result: Result, reference: Result) -> str:
    return f"{result.per_second / reference.per_second:.2f}"


def _microseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
