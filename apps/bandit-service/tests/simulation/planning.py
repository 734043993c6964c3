"""Make a schedule from a seed: who asks what, what fails, and which faults may meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from .scale import DEAD_AFTER, WINDOW
from .schedule import Activate, Erase, ExperimentName, Fault, FaultName, Reward, Schedule, Select, Step

# Requests come, and faults begin, within so many seconds.
ACTIVE: Final = 12.0
_DECISIONS: Final = (14, 26)
_UNITS: Final = 8
_EXPERIMENTS: Final[tuple[ExperimentName, ...]] = ("plain", "zero")

# By name: how long it lasts at least and at most, and how much a copy lacks.
_FAULTS: Final[dict[FaultName, tuple[float, float, float]]] = {
    "kill": (0.5, 8.0, 0.0),
    "stop": (0.5, 5.0, 0.0),
    "freeze": (0.3, 12.0, 0.0),
    "join": (0.0, 0.0, 0.0),
    "cut_redis": (0.3, 6.0, 0.0),
    "cut_postgres": (0.3, 6.0, 0.0),
    "lossy_redis": (1.0, 6.0, 0.0),
    "lossy_postgres": (1.0, 6.0, 0.0),
    "redis_away": (0.2, 6.0, 0.0),
    "redis_emptied": (0.0, 0.0, 0.0),
    "redis_rolled_back": (0.0, 1.0, 4.0),
    "redis_fails_over": (0.0, 0.0, 1.0),
    "redis_frozen": (0.2, 4.0, 0.0),
    "redis_full": (0.5, 4.0, 0.0),
    "redis_read_only": (0.5, 4.0, 0.0),
    "postgres_away": (0.2, 8.0, 0.0),
    "postgres_frozen": (0.3, 5.0, 0.0),
    "postgres_read_only": (0.5, 5.0, 0.0),
    "postgres_fails_over": (0.0, 3.0, 3.0),
    "postgres_holds_commits": (0.3, 5.0, 0.0),
    "sessions_ended": (0.0, 0.0, 0.0),
    "postgres_clock": (0.0, 0.0, 0.0),
}
_WEIGHTS: Final[dict[FaultName, int]] = {
    "postgres_fails_over": 5,
    "freeze": 4,
    "kill": 3,
    "redis_emptied": 2,
    "redis_rolled_back": 2,
    "lossy_postgres": 3,
    "postgres_away": 3,
    "postgres_frozen": 2,
    "sessions_ended": 2,
}
# What a process alone holds is lost with it, or is taken for lost.
_LOSES_MEMORY: Final = frozenset({"kill", "stop"})
_ISOLATES: Final = frozenset({"freeze", "cut_postgres", "lossy_postgres"})
_LOSES_STORE: Final = frozenset({"redis_emptied", "redis_rolled_back", "redis_fails_over", "postgres_fails_over"})
# Without Postgres a claim on an own id in Redis is enough, if Redis has not lost others.
_SILENCES_POSTGRES: Final = frozenset(name for name in _FAULTS if "postgres" in name)
# A beat, and what its statement may take.
_LOOKS_EVERY: Final = 1.8


def make_schedule(seed: int) -> Schedule:
    """Return the schedule of a seed, the same on every machine."""
    rng = Random(f"schedule {seed}")
    replicas = rng.choice((2, 2, 3))
    faults = _faults(rng, replicas)
    steps: list[Step] = [*faults, *_requests(rng, replicas, [fault.at for fault in faults])]
    return Schedule(seed, replicas, tuple(sorted(steps, key=lambda step: step.at)))


def _faults(rng: Random, replicas: int) -> list[Fault]:
    names = list(_FAULTS)
    weights = [_WEIGHTS.get(name, 1) for name in names]
    count = rng.choices((0, 1, 2, 3), (1, 6, 8, 5))[0]
    found: list[Fault] = []
    at = rng.uniform(0.0, ACTIVE - 2.0)
    for name in rng.choices(names, weights, k=count):
        shortest, longest, lag = _FAULTS[name]
        fault = Fault(
            round(at, 3),
            name,
            replica=rng.randrange(replicas),
            lasts=round(shortest + (longest - shortest) * rng.random() ** 2, 3),
            lag=round(lag * rng.random(), 3),
            share=round(rng.uniform(0.02, 0.15), 3) if name.startswith("lossy") else 0.0,
        )
        if _may_meet(fault, found):
            found.append(fault)
        # Two that race are worth most.
        at = min(ACTIVE, at + rng.uniform(0.0, 1.0)) if rng.random() < 0.6 else rng.uniform(0.0, ACTIVE)
    return found


def _may_meet(fault: Fault, others: Iterable[Fault]) -> bool:
    """Whether nothing acknowledged may be lost: it may if a process and a store lose what they hold."""
    return not any(
        (_is_losing(one) and other.what in _LOSES_STORE)
        or (_is_unseen(one) and other.what in _SILENCES_POSTGRES)
        or (one.what == other.what and one.replica == other.replica)
        for each in others
        for one, other in ((fault, each), (each, fault))
    )


def _is_unseen(fault: Fault) -> bool:
    """Whether Redis goes back by less than the time between a process's looks at it: not every process sees that."""
    return fault.what in ("redis_rolled_back", "redis_fails_over") and min(fault.lag, fault.at) < _LOOKS_EVERY


def _is_losing(fault: Fault) -> bool:
    return fault.what in _LOSES_MEMORY or (fault.what in _ISOLATES and fault.lasts > DEAD_AFTER * 0.6)


def _requests(rng: Random, replicas: int, hot: list[float]) -> list[Step]:
    steps: list[Step] = []
    micro = 0
    own_ids = [f"own-{number}" for number in range(3)]

    def anywhere() -> int:
        return rng.randrange(replicas)

    for number in range(rng.randint(*_DECISIONS)):
        select = _select(rng, number, anywhere, own_ids, _moment(rng, hot))
        steps.append(select)
        if select.request_id or (select.own_id and rng.random() < 0.5):
            again = _again(rng, select, anywhere())
            steps.append(again)
        shown_at = select.at + rng.expovariate(1.0)
        if select.deferred and rng.random() < 0.8:
            steps += [
                Activate(round(shown_at + rng.random() * more, 3), anywhere(), select.label)
                for more in range(rng.choice((1, 1, 2)))
            ]
        for _ in range(rng.choices((0, 1, 2, 3), (2, 6, 3, 1))[0]):
            micro += 1
            steps.append(
                Reward(
                    round(select.at + _later(rng, hot, select.at), 3),
                    anywhere(),
                    select.label,
                    micro * 1_000 + rng.randrange(1_000),
                    position=rng.randrange(select.places),
                    queued=rng.random() < 0.15,
                )
            )
    if rng.random() < 0.25:
        steps.append(Erase(round(_moment(rng, hot), 3), f"unit-{rng.randrange(_UNITS)}"))
    return steps


def _select(rng: Random, number: int, anywhere: Callable[[], int], own_ids: list[str], at: float) -> Select:
    kind = rng.random()
    return Select(
        round(at, 3),
        anywhere(),
        f"d{number}",
        rng.choice(_EXPERIMENTS),
        f"unit-{rng.randrange(_UNITS)}",
        own_id=rng.choice(own_ids) if kind < 0.2 else None,
        request_id=f"request-{number}" if 0.2 <= kind < 0.35 else None,
        deferred=rng.random() < 0.25 if kind < 0.85 else False,
        places=2 if kind >= 0.85 else 1,
    )


def _again(rng: Random, select: Select, replica: int) -> Select:
    """Return the same request at another process, at nearly the same time or some seconds later."""
    at = round(select.at + rng.choice((0.0, 0.002, 0.1, 3.0)) * rng.random(), 3)
    return Select(
        at,
        replica,
        f"{select.label}-again",
        select.experiment,
        select.unit,
        select.own_id,
        select.request_id,
        select.deferred,
        select.places,
    )


def _moment(rng: Random, hot: list[float]) -> float:
    """Return a time at which something is asked: often around a fault."""
    if hot and rng.random() < 0.4:
        return min(ACTIVE, max(0.0, rng.choice(hot) + rng.gauss(0.0, 1.0)))
    return rng.uniform(0.0, ACTIVE)


def _later(rng: Random, hot: list[float], since: float) -> float:
    """Return how long after its decision a reward comes: soon, at a fault, or about when the window ends."""
    drawn = rng.random()
    if drawn < 0.5:
        return 0.02 + rng.expovariate(1.0)
    later = [at - since for at in hot if at > since]
    if drawn < 0.75 and later:
        return max(0.02, rng.choice(later) + rng.gauss(0.0, 0.7))
    return WINDOW + rng.gauss(-0.5, 0.6) if drawn < 0.9 else rng.uniform(0.0, WINDOW)
