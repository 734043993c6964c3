"""Random sequences of calls to a ledger."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from hypothesis import strategies as st

from bandit_core.allocation import ArmState, allocate
from bandit_core.guardrails import Guardrails
from bandit_core.policies import make_policy
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import ArmDefinition
from bandit_service.domain.api_key import ApiKey, Principal
from bandit_service.domain.event import Row
from bandit_service.ledger.experiments import Page, Reason
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.linear_outcomes import Checkpoint
from bandit_service.ledger.pool import connected, statement
from bandit_service.ledger.weight_periods import Periods
from bandit_service.ledger.weights import NewWeights

from .ledgers import TIMELINE, Ledger, without
from .random_events import ARMS, END_MS, EXPERIMENTS, START_MS, UNITS, any_experiment, events_of

ALLOCATION: Final = allocate(
    arms=[ArmState("a", 3.0, 5.0, 6), ArmState("b", 4.0, 4.0, 6)],
    policy=make_policy("thompson", {}),
    guardrails=Guardrails(min_trials=0, max_step=1.0, min_weight=0.05, cooldown=0.0),
    previous=None,
    seconds_since_change=None,
)
_HOLDERS: Final = ("p0", "p1", "p2")


async def prepare(ledger: Ledger) -> Any:
    """Create the experiments, of which a process has the leases."""
    created = [await ledger.create(experiment) for experiment in EXPERIMENTS]
    registered = without(await ledger.producers.register("p0"), now_ms=0)
    leases = [await ledger.leases["p0"].take(experiment.id, 1_000.0) for experiment in EXPERIMENTS]
    return created, registered, leases


class Call(NamedTuple):
    """A call; `run` returns what can be compared."""

    name: str
    run: Callable[[Ledger], Awaitable[Any]]

    def __repr__(self) -> str:
        return self.name


# Of processes, and of a process at several times.
_slots = st.sampled_from([0, 1, 5_001, 17_001])


@st.composite
def _write(draw: st.DrawFn) -> Call:
    events = [event for _ in range(draw(st.integers(1, 8))) for event in draw(any_experiment.flatmap(events_of))]
    events += draw(st.lists(st.sampled_from(events), max_size=2)) if events else []
    batch, slot = draw(st.integers(1, 3)), draw(_slots)
    timeline = draw(st.sampled_from([TIMELINE] * 7 + ["0000000A"]))
    rows = [Row(batch, place, event) for place, event in enumerate(events)]

    async def run(ledger: Ledger) -> Any:
        ledger.writer.slot = slot
        written = await ledger.writer.write(rows, timeline)
        rest = [event for place, event in enumerate(events) if place not in written.inserted | written.refused.keys()]
        return written, await ledger.writer.first(rest, timeline)

    return Call(f"write {rows} on {timeline} from slot {slot}", run)


@st.composite
def _settle(draw: st.DrawFn) -> Call:
    token = draw(st.sampled_from([1, 1, 1, 2]))

    async def run(ledger: Ledger) -> Any:
        return [await raised(ledger.settling.settle(Lease(each.id, "p0", token), each)) for each in EXPERIMENTS]

    return Call(f"settle with token {token}", run)


@st.composite
def _close(draw: st.DrawFn) -> Call:
    token, times = draw(st.sampled_from([1, 1, 1, 2])), draw(st.integers(1, 6))

    async def run(ledger: Ledger) -> Any:
        return [
            await raised(ledger.settling.close(Lease(each.id, "p0", token), each, END_MS))
            for each in EXPERIMENTS
            for _ in range(times)
        ]

    return Call(f"close {times} times with token {token}", run)


@st.composite
def _read(draw: st.DrawFn) -> Call:
    ids = draw(st.lists(any_experiment.map(lambda experiment: experiment.id), unique=True, max_size=2))
    windows = dict.fromkeys(ids, draw(st.sampled_from([1.0, 1e9])))

    async def run(ledger: Ledger) -> Any:
        return (
            {name: without(totals, as_of=0) for name, totals in (await ledger.totals.read(ids)).totals.items()},
            {
                name: without(totals, as_of=0)
                for name, totals in (await ledger.totals.read(ids, dict.fromkeys(ids, 5_000))).totals.items()
            },
            await ledger.totals.changed(ids),
            await ledger.agreement.differences(),
            await ledger.agreement.unequal_periods(),
            {name: (found.folds, _untimed(found)) for name, found in (await ledger.periods.read(ids)).items()},
            await ledger.leases["p0"].unsettled(ids),
            await ledger.leases["p0"].due(windows),
            [await ledger.own_ids.read(name, "own-1") for name in ids],
            [await ledger.traffic.unit_counts(name) for name in ids],
            await ledger.weights.explained(ids),
            sorted(await ledger.served.read(ids), key=lambda stored: stored.experiment.id),
            [page async for page in ledger.served.pages()],
            [(await ledger.served.changes(since)).versions for since in (0.0, math.inf)],
            [await ledger.producers.have_written(START_MS, name) for name in ids],
            [await ledger.experiments.changes(name, limit=2) for name in ids],
            await ledger.experiments.search(Page(limit=3)),
            await ledger.experiments.revisions(),
            [await ledger.experiments.get(name) for name in [*ids, "nobody's"]],
            [await ledger.traffic.recent_selections(name, START_MS / 1_000 + 2, 1.0) for name in ids],
            await _inspected(ledger),
            await ledger.keys.active(),
            [await ledger.linear.checkpoint(name) for name in ids],
            [[page async for page in ledger.linear.pages(name, 0, 99)] for name in ids],
        )

    return Call(f"read {ids}", run)


async def _inspected(ledger: Ledger) -> Any:
    """What operators are shown, without how long ago it was."""
    found = []
    async with connected(ledger.pool) as connection:
        for name in ("waiting", "dead_producers", "refused_reasons"):
            rows = await (await connection.execute(statement(name))).fetchall()
            found.append([[_timeless(value) for value in row] for row in rows])
    return found


def _timeless(value: Any) -> Any:
    return "seconds" if isinstance(value, float) else value


@st.composite
def _process(draw: st.DrawFn) -> Call:
    """A process registers, beats, is declared dead, or leaves."""
    name = draw(st.sampled_from(_HOLDERS))
    action = draw(st.sampled_from(["register", "beat", "beat", "die", "leave", "enter"]))
    timeline = draw(st.sampled_from(["", TIMELINE, TIMELINE, "0000000A"]))
    drained_to_ms = draw(st.sampled_from([START_MS, END_MS * 2, END_MS * 2]))

    async def run(ledger: Ledger) -> Any:
        producers = ledger.producers
        match action:
            case "register":
                return without(await producers.register(name, timeline=timeline), now_ms=0)
            case "beat":
                beat = await producers.heartbeat(
                    name, drained_to_ms=drained_to_ms, timeline=timeline or TIMELINE, dead_after=0.0
                )
                return without(beat, now_ms=0)
            case "die":
                found = [each for each in await producers.all() if each.name == name]
                return [await producers.mark_dead(each, timeline or TIMELINE) for each in found]
            case "leave":
                return await producers.remove(name)
            case _:
                return await producers.enter_lost([name])

    return Call(f"{name} {action} {timeline!r} {drained_to_ms}", run)


@st.composite
def _lease(draw: st.DrawFn) -> Call:
    holder, experiment = draw(st.sampled_from(_HOLDERS)), draw(any_experiment)
    action = draw(st.sampled_from(["claim", "claim", "take", "release"]))
    life, most = draw(st.sampled_from([1_000.0, -1_000.0])), draw(st.integers(1, 5))

    async def run(ledger: Ledger) -> Any:
        leases = ledger.leases[holder]
        match action:
            case "claim":
                return await leases.claim(life, most=most)
            case "take":
                return await leases.take(experiment.id, life)
            case _:
                return await leases.release()

    return Call(f"{holder} {action} {experiment.id} {life} {most}", run)


def weights_of(lease: Lease) -> NewWeights:
    weights = {"a": 0.25, "b": 0.75, "ü": 1e-9}
    record = AllocationRecord(
        version=0, revision=3, published_at=2.5, changed_at=1.0, weights=weights, prob_best=weights, expected_loss={}
    )
    return NewWeights.of(lease, record, ALLOCATION.explanation, holdout=0.25)


@st.composite
def _publish(draw: st.DrawFn) -> Call:
    lease = Lease(draw(any_experiment).id, "p0", draw(st.sampled_from([1, 1, 2])))
    turn = draw(st.integers(1, 3))

    async def run(ledger: Ledger) -> Any:
        leases = [Lease(each.id, "p0", lease.token) for each in EXPERIMENTS]
        published = await ledger.weights.publish([weights_of(each) for each in leases])
        await ledger.linear.save(lease, Checkpoint(turn, b"\x00\x01"))
        return published, await ledger.linear.turn(lease), await ledger.linear.last_turn(lease.experiment_id)

    return Call(f"publish {lease}", run)


@st.composite
def _erase(draw: st.DrawFn) -> Call:
    hashes = draw(st.lists(st.sampled_from(UNITS), min_size=1, max_size=2, unique=True))

    async def run(ledger: Ledger) -> Any:
        names = await ledger.units.experiments("default")
        buried = await ledger.units.bury(hashes)
        first = await ledger.units.sweep(names, hashes)
        await ledger.units.outlive(buried, patience=5.0)
        return names, first, await ledger.units.sweep(names, hashes), await ledger.units.salt("default")

    return Call(f"erase {hashes}", run)


@st.composite
def _refuse(draw: st.DrawFn) -> Call:
    events = draw(any_experiment.flatmap(events_of))

    async def run(ledger: Ledger) -> Any:
        await ledger.writer.refuse(events, "a test")
        await ledger.writer.refuse_unreadable([b"\x00?"])

    return Call(f"refuse {events}", run)


@st.composite
def _retire(draw: st.DrawFn) -> Call:
    before_ms = draw(st.sampled_from([2_000, START_MS + 1_000]))

    async def run(ledger: Ledger) -> None:
        async with connected(ledger.pool) as connection:
            before = datetime.fromtimestamp(before_ms / 1_000, UTC)
            await connection.execute(statement("raise_kept_from"), {"before": before})

    return Call(f"retire before {before_ms}", run)


@st.composite
def _change(draw: st.DrawFn) -> Call:
    experiment, status = draw(any_experiment), draw(st.sampled_from(["running", "paused", "archived"]))
    name = draw(st.sampled_from(["k1", "k2"]))
    key = ApiKey(name, name.encode().zfill(32), Principal("me", "writer", "*", ""))

    async def run(ledger: Ledger) -> Any:
        if status == "paused":
            await ledger.keys.add(key)
        return await ledger.experiments.change(
            experiment.id,
            lambda before: msgspec.structs.replace(before, status=status, arms=(*ARMS, ArmDefinition(3, "d"))),
            lambda before, after: {"from": before.status, "to": after.status},
            Reason("me", "why not", 2.5),
        )

    return Call(f"change {experiment.id} to {status}", run)


@st.composite
def _merge(draw: st.DrawFn) -> Call:
    before = draw(st.sampled_from([2, 6_000, 20_000]))

    async def run(ledger: Ledger) -> Any:
        return await ledger.totals.merge([experiment.id for experiment in EXPERIMENTS], before)

    return Call(f"merge before {before}", run)


@st.composite
def _fold(draw: st.DrawFn) -> Call:
    token = draw(st.sampled_from([1, 1, 1, 2]))

    async def run(ledger: Ledger) -> Any:
        found = []
        for experiment in EXPERIMENTS:
            periods = await raised(ledger.periods.fold(Lease(experiment.id, "p0", token)))
            found.append(_untimed(periods) if isinstance(periods, Periods) else periods)
        return found

    return Call(f"fold with token {token}", run)


def _untimed(periods: Periods) -> list[tuple[int, int, str]]:
    """What periods hold, without when they were: that is the server's own."""
    return [(each.first_version, each.last_version, each.sums.encoded()) for each in periods.periods]


@st.composite
def _fail_over(draw: st.DrawFn) -> Call:
    number = draw(st.sampled_from([1, 2, 10]))

    async def run(ledger: Ledger) -> None:
        await ledger.set_timeline(number)

    return Call(f"fail over to {number}", run)


async def raised(work: Awaitable[Any]) -> Any:
    """Return what comes of a call, or the name of what it raises."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 (whatever it is, both servers have to raise it)
        return type(error).__name__


_calls = st.one_of(
    _write(),
    _write(),
    _write(),
    _settle(),
    _close(),
    _read(),
    _process(),
    _process(),
    _lease(),
    _publish(),
    _erase(),
    _refuse(),
    _retire(),
    _change(),
    _fail_over(),
    _merge(),
    _fold(),
)
programs = st.builds(lambda first, rest: [first, *rest], _write(), st.lists(_calls, min_size=1, max_size=20))
