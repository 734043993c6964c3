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

EXPERIMENTS: Final = (1, 10, 100)
ARMS: Final = (2, 20, 200)
REPLICAS: Final = (1, 2, 3)
CONNECTIONS: Final = (1, 8, 64)
_PARTS: Final = ("service", "Redis", "Postgres")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one setting costs: answers per second, p99 (ms), and processor time of each part per answer (µs)."""

    per_second: float
    p99: float
    cpu: dict[str, float]


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
        yield self._table("experiments, in turn", EXPERIMENTS, self._with_experiments)
        yield self._table("arms", ARMS, self._with_arms)
        yield self._table("replicas", REPLICAS, self._with_replicas)
        yield self._table("connections (events that may share a commit)", CONNECTIONS, self._with_connections)
        yield self._idle()

    def _table(self, growing: str, sizes: Sequence[int], measured: Callable[[int], Cost]) -> Table:
        rows, costs = [], []
        for size in sizes:
            cost = measured(size)
            costs.append(cost)
            self.tell(f"{size} {growing}: {cost.per_second:,.0f}/s")
            times = [f"{cost.cpu[part]:.0f}" if part in cost.cpu else "" for part in _PARTS]
            rows.append((f"{size}", f"{cost.per_second:,.0f}", f"{cost.p99:.1f}", *times))
        columns = (growing, "decisions/s", "p99 ms", *(f"{part} µs" for part in _PARTS))
        return Table(f"/select as {growing.partition(' ')[0].rstrip(',')} grow", columns, rows, _growth(sizes, costs))

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

    def _cost(self, services: Sequence[Server], experiments: Sequence[str], connections: int = 32) -> Cost:
        bodies = [msgspec.json.encode({"experiment_id": name}) for name in experiments]
        share = max(1, connections // len(services))
        pids = {f"service {number}": service.pid for number, service in enumerate(services)} | self.stores.pids
        before = processor_seconds(pids)
        traffic = [Traffic(f"{service.url}/select", bodies, share, self.seconds) for service in services]
        with ThreadPoolExecutor(len(services)) as clients:
            seen = list(clients.map(self.generator.send, traffic))
        for name in experiments:
            self.workbench.settle(name)
        after = processor_seconds(pids)
        return _cost({name: after[name] - before[name] for name in after}, seen)

    def _idle(self) -> Table:
        """Return what the experiments there are by now cost while nobody asks for them."""
        pids = {"service": self.service.pid, **self.stores.pids}
        before = processor_seconds(pids)
        time.sleep(self.seconds)
        after = processor_seconds(pids)
        count = self.workbench.experiments()
        row = [f"{1e3 * (after[part] - before[part]) / self.seconds:.0f}" if part in after else "" for part in _PARTS]
        columns = ("experiments", *(f"{part} ms/s" for part in _PARTS))
        return Table("At rest", columns, [(f"{count}", *row)])


def _cost(used: dict[str, float], seen: Sequence[Seen]) -> Cost:
    answers = sum(each.requests for each in seen)
    cpu = {part: sum(value for name, value in used.items() if name.startswith(part)) / answers * 1e6 for part in _PARTS}
    return Cost(sum(each.per_second for each in seen), max(each.p99 for each in seen), cpu if used else {})


def _growth(sizes: Sequence[int], costs: Sequence[Cost]) -> tuple[str, ...]:
    """Return the line through the smallest and the largest size, and how far off it the middle one is."""
    if not costs[0].cpu:
        return ()
    first, middle, last = (sum(cost.cpu.values()) for cost in costs)
    slope = (last - first) / (sizes[-1] - sizes[0])
    predicted = first + slope * (sizes[1] - sizes[0])
    law = f"All parts together: {first:.0f} µs at {sizes[0]}, {slope:+.2f} µs for each one more"
    return (f"{law}; this line predicts {predicted:.0f} µs at {sizes[1]}, measured {middle:.0f}.",)
