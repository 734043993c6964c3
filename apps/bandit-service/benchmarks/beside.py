"""What an answer costs in this checkout and in an older one: `python -m benchmarks.beside --before PATH`.

Both checkouts run at the same time, each with its own stores, and are measured in alternation, so that a change on the
machine affects both. The benchmark waits until a checkout is at rest before and after each measurement. So the cost of
an answer includes writing it to Postgres, and no measurement pays for another one. The use at rest is subtracted.
A measurement counts only if Postgres has gained as many events as answers were given.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from benchmarks.checkouts import Checkout, running_checkout
from benchmarks.contextual import BATCH, Shape
from benchmarks.document import write_into
from benchmarks.load.traffic import ExhaustedError, LoadError, Traffic
from benchmarks.load.wrk import wrk
from benchmarks.table import Table

HERE: Final = Path(__file__).parents[3]
PARTS: Final = ("service", "Redis", "Postgres")
_NAMES: Final = tuple(f"mix-{number}" for number in range(100))
_SELECTS_TO_A_REWARD: Final = 3
_FASTEST: Final = 24_000
_SLOWEST: Final = 2_000
_IDLE_EXPERIMENTS: Final = 1_000
_IDLE_SECONDS: Final = 20.0
_CALM_SECONDS: Final = 15.0
_AT_REST_SECONDS: Final = 10.0

type Bodies = Callable[[Checkout, int], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked for, over how many connections, and what share of the older checkout's price it may cost.

    `answers` is how many answers one request stands for, `shape` the contextual experiment it is asked of.
    """

    name: str
    path: str
    connections: int
    aim: float
    bodies: Bodies
    repeats: bool
    answers: int = 1
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """One measurement: answers a second, percentiles (ms), and processor time of each part an answer (µs)."""

    per_second: float
    p50: float
    p99: float
    cpu: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.cpu.values())


def _selects(names: Sequence[str]) -> Sequence[bytes]:
    return [msgspec.json.encode({"experiment_id": name, "unit_id": "visitor-17"}) for name in names]


def _rewards(checkout: Checkout, count: int) -> Sequence[bytes]:
    return [_reward(each) for each in checkout.issue(_NAMES[:1], count)]


def _mixed(checkout: Checkout, count: int) -> Sequence[bytes]:
    """Return requests of which one in four is a reward, each line with the path it is for."""
    rewards = checkout.issue(_NAMES, count // (_SELECTS_TO_A_REWARD + 1))
    selects = [b"/select " + body for body in _selects(_NAMES)]
    bodies: list[bytes] = []
    for number, each in enumerate(rewards):
        first = number * _SELECTS_TO_A_REWARD
        bodies += [selects[(first + place) % len(selects)] for place in range(_SELECTS_TO_A_REWARD)]
        bodies.append(b"/reward " + _reward(each))
    return bodies


def _reward(decision_id: str) -> bytes:
    return b'{"decision_id":"%s","reward":1}' % decision_id.encode()


def _contextual(aim: float, shape: Shape) -> Work:
    bodies, connections = shape.bodies(), 32 if shape.batch == 1 else 4
    name = f"contextual {shape.name}"
    return Work(
        name, shape.path, connections, aim, lambda _, __: bodies, repeats=True, answers=shape.batch, shape=shape
    )


WORKS: Final = (
    Work("/select, 32 connections", "/select", 32, 1.0, lambda _, __: _selects(_NAMES[:1]), repeats=True),
    Work("/reward, 32 connections", "/reward", 32, 1.1, _rewards, repeats=False),
    Work("/reward, 128 connections", "/reward", 128, 0.9, _rewards, repeats=False),
    Work("/select over 100 experiments, 32", "/select", 32, 0.7, lambda _, __: _selects(_NAMES), repeats=True),
    Work("3 /select to 1 /reward over 100, 32", "/select", 32, 0.7, _mixed, repeats=False),
    _contextual(1.0, Shape("linucb", 5, 3)),
    _contextual(1.0, Shape("linucb", 32, 10)),
    _contextual(0.75, Shape("linear_thompson", 5, 3)),
    _contextual(0.4, Shape("linear_thompson", 32, 10)),
    _contextual(0.05, Shape("linear_thompson", 32, 100)),
    _contextual(0.55, Shape("linucb", 5, 10, BATCH)),
    _contextual(0.3, Shape("linear_thompson", 5, 10, BATCH)),
)


class Turns:
    """Measures both checkouts in turns."""

    def __init__(self, checkouts: Sequence[Checkout], *, seconds: int, tell: Callable[[str], None]) -> None:
        generator = wrk()
        if generator is None:
            raise LoadError("wrk is not installed")
        self._send = generator.send
        self._checkouts = checkouts
        self._seconds = seconds
        self._tell = tell
        self._expected: dict[tuple[str, str], float] = {}

    def play(self, works: Sequence[Work], rounds: int) -> dict[tuple[str, str], list[Price]]:
        """Return the prices of every work in every checkout, in the order of the rounds."""
        prices: dict[tuple[str, str], list[Price]] = {}
        # Before the first answer: what is done after one, such as new weights, belongs to its price.
        at_rest = {checkout.name: checkout.used_a_second(_AT_REST_SECONDS) for checkout in self._checkouts}
        self._tell(f"at rest, of a processor: {at_rest}")
        for work in works:
            for checkout in self._checkouts:
                self._price(work, checkout, self._seconds, at_rest[checkout.name])
            for number in range(rounds):
                for checkout in self._checkouts:
                    price = self._price_again(work, checkout, at_rest[checkout.name])
                    prices.setdefault((work.name, checkout.name), []).append(price)
                    parts = " + ".join(f"{price.cpu[part]:.1f}" for part in PARTS)
                    self._tell(
                        f"{work.name}, round {number + 1}, {checkout.name}: {price.total:.1f} µs = {parts};"
                        f" {price.per_second:,.0f}/s, p50 {price.p50:.2f}, p99 {price.p99:.2f} ms"
                    )
        return prices

    def _price_again(self, work: Work, checkout: Checkout, at_rest: dict[str, float]) -> Price:
        """Measure, and once more where the machine had become so much faster that there was not enough to send."""
        try:
            return self._price(work, checkout, self._seconds, at_rest)
        except ExhaustedError:
            self._expected[work.name, checkout.name] = _FASTEST
            return self._price(work, checkout, self._seconds, at_rest)

    def _price(self, work: Work, checkout: Checkout, seconds: int, at_rest: dict[str, float]) -> Price:
        expected = self._expected.get((work.name, checkout.name), _FASTEST)
        bodies = work.bodies(checkout, round(expected * seconds) + 4 * work.connections)
        checkout.rest()
        events, before, started = checkout.events(), checkout.used(), time.monotonic()
        url = f"{checkout.url}{work.path}"
        seen = self._send(Traffic(url, bodies, work.connections, seconds, repeats=work.repeats))
        checkout.rest()
        after, elapsed = checkout.used(), time.monotonic() - started
        answers = seen.requests * work.answers
        if not answers:
            raise LoadError(f"{work.name}, {checkout.name}: no answer in {seconds} s")
        if checkout.events() - events < answers:
            raise LoadError(f"{work.name}, {checkout.name}: fewer events than the {answers} answers given")
        self._expected[work.name, checkout.name] = max(_SLOWEST, 1.6 * seen.per_second)
        used = {part: after[part] - before[part] - at_rest[part] * elapsed for part in PARTS}
        cpu = {part: seconds / answers * 1e6 for part, seconds in used.items()}
        return Price(answers / seen.seconds, seen.p50, seen.p99, cpu)


def prices_table(prices: dict[tuple[str, str], list[Price]], works: Sequence[Work], names: Sequence[str]) -> Table:
    """Return the median price of every work in both checkouts, and their ratio beside the aim."""
    rows = []
    for work in works:
        totals = {}
        for name in names:
            rounds = prices[work.name, name]
            totals[name] = median(price.total for price in rounds)
            ratio = totals[name] / totals[names[0]]
            rows.append(
                (
                    f"{work.name}: {name}",
                    *(f"{median(price.cpu[part] for price in rounds):.1f}" for part in PARTS),
                    f"{totals[name]:.1f}",
                    "" if name == names[0] else f"{ratio:.2f}",
                    "" if name == names[0] else f"{work.aim:g}",
                    f"{median(price.per_second for price in rounds):,.0f}",
                    f"{median(price.p50 for price in rounds):.2f}",
                    f"{median(price.p99 for price in rounds):.2f}",
                )
            )
    columns = ("what", *(f"{part} µs" for part in PARTS), "all µs", "×", "aim", "per second", "p50 ms", "p99 ms")
    return Table("Processor time an answer, beside the older checkout", columns, rows)


def idle_table(checkouts: Sequence[Checkout], tell: Callable[[str], None]) -> Table:
    """Create experiments, and measure what they cost both checkouts at once while nobody asks for anything."""
    for checkout in checkouts:
        checkout.create([f"idle-{number}" for number in range(_IDLE_EXPERIMENTS)])
        checkout.rest()
        tell(f"{checkout.name}: {_IDLE_EXPERIMENTS} experiments")
        checkout.used_a_second(_CALM_SECONDS)
    rows = []
    for checkout in checkouts:
        used = checkout.used_a_second(_IDLE_SECONDS)
        percent = [100 * used[part] for part in PARTS]
        rows.append((checkout.name, *(f"{each:.2f}" for each in percent), f"{sum(percent):.2f}"))
    title = f"{_IDLE_EXPERIMENTS:,} experiments at rest: percent of a core"
    return Table(title, ("checkout", *PARTS, "all"), rows)


def main(
    *,
    before: Annotated[Path, typer.Option(help="An older checkout, with its environment.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 5,
    seconds: Annotated[int, typer.Option(min=1, help="How long each time.")] = 4,
    only: Annotated[
        str, typer.Option(help="Measure only what has this in its name; `idle` for experiments at rest.")
    ] = "",
    write: Annotated[Path | None, typer.Option(help="A document to write the figures into.")] = None,
) -> None:
    """Measure this checkout beside an older one."""
    console, progress = Console(width=160), Console(stderr=True, style="dim", width=160)
    works = [work for work in WORKS if only in work.name]
    places = {"before": before, "after": HERE}
    load = f"Load average before: {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors."
    tables: list[Table] = []
    if works:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            checkouts = _all_running(stack, places, Path(folder))
            for checkout in checkouts:
                checkout.create(_NAMES)
                checkout.teach([work.shape for work in works if work.shape is not None])
            prices = Turns(checkouts, seconds=seconds, tell=progress.print).play(works, rounds)
            tables.append(prices_table(prices, works, list(places)))
    if only in "idle":
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            tables.append(idle_table(_all_running(stack, places, Path(folder)), progress.print))
    for table in tables:
        table.show(console)
    console.print(load)
    if write is not None:
        write_into(write, tables, load, writer="benchmarks.beside")


def _all_running(stack: ExitStack, places: dict[str, Path], folder: Path) -> list[Checkout]:
    return [stack.enter_context(running_checkout(name, place, folder / name)) for name, place in places.items()]


if __name__ == "__main__":
    typer.run(main)
