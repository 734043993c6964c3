"""Rounds: every contender in turn, again and again, so that whatever drifts on the machine drifts for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.contenders import Contender
from benchmarks.load.traffic import Generator, LoadError, Traffic
from benchmarks.processes import processor_seconds

_WARM_UP_SECONDS: Final = 1
_MOST_PER_SECOND: Final = 12_000
_SPARE_BODIES: Final = 2.5


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often each contender is measured, and over how many connections."""

    seconds: int
    rounds: int
    connections: int = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """One measurement: answers per second, percentiles in milliseconds, and processor time per answer (µs).

    `unwritten` is how many events were still on their way to Postgres when the load ended.
    """

    per_second: float
    p50: float
    p99: float
    cpu: dict[str, float]
    unwritten: int


@dataclass(frozen=True, slots=True)
class Result:
    """What a contender's rounds came to."""

    outcomes: tuple[Outcome, ...]

    @property
    def per_second(self) -> float:
        return median(outcome.per_second for outcome in self.outcomes)

    @property
    def spread(self) -> tuple[float, float]:
        """Return the slowest and the fastest round's answers per second."""
        values = [outcome.per_second for outcome in self.outcomes]
        return min(values), max(values)

    @property
    def p50(self) -> float:
        return median(outcome.p50 for outcome in self.outcomes)

    @property
    def p99(self) -> float:
        return median(outcome.p99 for outcome in self.outcomes)

    @property
    def unwritten(self) -> int:
        return round(median(outcome.unwritten for outcome in self.outcomes))

    def cpu(self, process: str) -> float | None:
        """Return the processor time of a process per answer (µs), None where it takes no part or cannot be known."""
        values = [outcome.cpu[process] for outcome in self.outcomes if process in outcome.cpu]
        return median(values) if values else None


def play(
    contenders: Sequence[Contender], generator: Generator, pace: Pace, tell: Callable[[str], None]
) -> dict[str, Result]:
    """Warm every contender up, then measure all of them `rounds` times, interleaved."""
    expected = {contender.name: warm_up(contender, generator, pace) for contender in contenders}
    outcomes: dict[str, list[Outcome]] = {contender.name: [] for contender in contenders}
    for number in range(pace.rounds):
        for contender in contenders:
            outcome = measure(contender, generator, pace, expected[contender.name])
            outcomes[contender.name].append(outcome)
            tell(f"round {number + 1} of {pace.rounds}: {contender.name}: {outcome.per_second:,.0f}/s")
    return {name: Result(tuple(measured)) for name, measured in outcomes.items()}


def measure(contender: Contender, generator: Generator, pace: Pace, expected: float) -> Outcome:
    """Measure a contender once; `expected` requests per second tell how many bodies to have ready.

    Raises:
        LoadError: requests failed, or fewer events were recorded than answers were given.
    """
    bodies = contender.bodies(round(_SPARE_BODIES * expected * pace.seconds) + pace.connections)
    workbench, experiment_id = contender.workbench, contender.experiment_id
    if workbench is not None:
        workbench.wait_until_written()
    recorded = 0 if workbench is None else workbench.recorded(experiment_id)
    before = processor_seconds(contender.pids)
    seen = generator.send(Traffic(contender.url, bodies, pace.connections, pace.seconds, repeats=contender.repeats))
    at_the_end = 0 if workbench is None else workbench.recorded(experiment_id)
    if workbench is not None:
        # The rest of the way into Postgres belongs to the price of an answer.
        workbench.wait_until_written()
    after = processor_seconds(contender.pids)
    answers = seen.requests * contender.answers
    written = 0 if workbench is None else workbench.recorded(experiment_id)
    if workbench is not None and written - recorded < answers:
        raise LoadError(f"{contender.name}: fewer events were recorded than the {answers} answers given")
    cpu = {name: (seconds - before[name]) / answers * 1e6 for name, seconds in after.items()}
    return Outcome(answers / seen.seconds, seen.p50, seen.p99, cpu, written - at_the_end)


def warm_up(contender: Contender, generator: Generator, pace: Pace) -> float:
    """Run a contender for a moment and return its requests per second."""
    moment = Pace(_WARM_UP_SECONDS, 1, pace.connections)
    return measure(contender, generator, moment, _MOST_PER_SECOND / _SPARE_BODIES).per_second / contender.answers
