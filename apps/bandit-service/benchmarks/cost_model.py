"""By what law the cost of an answer grows: experiments, arms, replicas and the rate of events, at three sizes each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import msgspec

from benchmarks.load.traffic import Generator, Seen, Traffic
from benchmarks.processes import processor_seconds
from benchmarks.servers import Server, Stores
from benchmarks.table import Table
from benchmarks.workbench import Workbench

_PARTS: Final = ("service", "Redis", "Postgres")
_CONNECTIONS: Final = 32


@dataclass(frozen=True, slots=True)
class Cost:
    """What one setting costs: answers per second, p99 (ms), and processor time of each part per answer (µs)."""

    per_second: float
    p99: float
    cpu: dict[str, float]


@dataclass(frozen=True, slots=True)
class Growth:
    """One thing that grows, and the law its cost is thought to follow: a + b · `law(size)`, told as `term`."""

    name: str
    sizes: tuple[int, int, int]
    term: str
    law: Callable[[int], float]


# A batch of commands costs something of its own, whoever shares it: one command for each experiment that is asked for,
# and one round trip for all who wait together.
EXPERIMENTS: Final = Growth(
    "experiments", (1, 10, 100), f"min(experiments, {_CONNECTIONS})", lambda size: min(size, _CONNECTIONS)
)
ARMS: Final = Growth("arms", (2, 20, 200), "arms", float)
REPLICAS: Final = Growth("replicas", (1, 2, 3), "replicas", float)
RATE: Final = Growth("requests at once", (1, 8, 64), "1 / requests at once", lambda size: 1.0 / size)


@dataclass(frozen=True, slots=True)
class CostModel:
    """Measures `/select` while one thing grows and everything else stays."""

    stores: Stores
    service: Server
    workbench: Workbench
    generator: Generator
    seconds: int
    tell: Callable[[str], None]

    def tables(self) -> Iterator[Table]:
        at_rest: list[tuple[str, ...]] = []

        def with_experiments(count: int) -> Cost:
            cost = self._with_experiments(count)
            at_rest.append(self._at_rest())
            return cost

        yield self._table(EXPERIMENTS, with_experiments)
        yield Table("Processor time at rest", ("experiments", *(f"{part} ms/s" for part in _PARTS)), at_rest)
        yield self._table(ARMS, self._with_arms)
        yield self._table(REPLICAS, self._with_replicas)
        yield self._table(RATE, self._with_connections)

    def _table(self, growth: Growth, measured: Callable[[int], Cost]) -> Table:
        rows, costs = [], []
        for size in growth.sizes:
            cost = measured(size)
            costs.append(cost)
            self.tell(f"{size} {growth.name}: {cost.per_second:,.0f}/s")
            times = [f"{cost.cpu[part]:.0f}" if part in cost.cpu else "" for part in _PARTS]
            rows.append((f"{size}", f"{cost.per_second:,.0f}", f"{cost.p99:.1f}", *times))
        columns = (growth.name, "decisions/s", "p99 ms", *(f"{part} µs" for part in _PARTS))
        return Table(f"/select: {growth.name}", columns, rows, _law(growth, costs))

    def _with_experiments(self, count: int) -> Cost:
        names = [f"many-{count}-{number}" for number in range(count)]
        for name in names:
            self.workbench.create(name)
        return self._cost([self.service], names)

    def _with_arms(self, count: int) -> Cost:
        name = f"arms-{count}"
        self.workbench.create(name, arms=count)
        return self._cost([self.service], [name])

    def _with_replicas(self, count: int) -> Cost:
        name = f"replicas-{count}"
        self.workbench.create(name)
        with ExitStack() as stack:
            others = [stack.enter_context(self.stores.service()) for _ in range(count - 1)]
            return self._cost([self.service, *others], [name])

    def _with_connections(self, count: int) -> Cost:
        name = f"connections-{count}"
        self.workbench.create(name)
        return self._cost([self.service], [name], connections=count)

    def _cost(self, services: Sequence[Server], experiments: Sequence[str], connections: int = _CONNECTIONS) -> Cost:
        bodies = [msgspec.json.encode({"experiment_id": name}) for name in experiments]
        share = max(1, connections // len(services))
        pids = {f"service {number}": service.pid for number, service in enumerate(services)} | self.stores.pids
        before = processor_seconds(pids)
        traffic = [Traffic(f"{service.url}/select", bodies, share, self.seconds) for service in services]
        with ThreadPoolExecutor(len(services)) as clients:
            seen = list(clients.map(self.generator.send, traffic))
        self.workbench.wait_until_written()
        after = processor_seconds(pids)
        return _cost({name: after[name] - before[name] for name in after}, seen)

    def _at_rest(self) -> tuple[str, ...]:
        """Return what the experiments there are by now cost while nobody asks for them."""
        pids = {"service": self.service.pid, **self.stores.pids}
        before = processor_seconds(pids)
        time.sleep(self.seconds)
        after = processor_seconds(pids)
        used = [f"{1e3 * (after[part] - before[part]) / self.seconds:.0f}" if part in after else "" for part in _PARTS]
        return (f"{self.workbench.experiments()}", *used)


def _cost(used: dict[str, float], seen: Sequence[Seen]) -> Cost:
    answers = sum(each.requests for each in seen)
    cpu = {part: sum(value for name, value in used.items() if name.startswith(part)) / answers * 1e6 for part in _PARTS}
    return Cost(sum(each.per_second for each in seen), max(each.p99 for each in seen), cpu if used else {})


def _law(growth: Growth, costs: Sequence[Cost]) -> tuple[str, ...]:
    """Return the law through the smallest and the largest size, and what it predicts for the one between."""
    if not costs[0].cpu:
        return ()
    first, middle, last = (sum(cost.cpu.values()) for cost in costs)
    least, between, most = map(growth.law, growth.sizes)
    slope = (last - first) / (most - least)
    base = first - slope * least
    predicted = base + slope * between
    law = f"All parts together: {base:.0f} µs {slope:+.3g} µs · {growth.term}"
    return (f"{law}. For {growth.sizes[1]} this predicts {predicted:.0f} µs, measured were {middle:.0f}.",)
