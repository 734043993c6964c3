"""Make a schedule from a seed: who asks what, what fails, and which faults may meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from .experiments import ARMS
from .races import draw_race
from .scale import DEAD_AFTER, LONGEST_ISOLATION, WINDOW
from .schedule import HOLDER, Activate, Direct, Erase, ExperimentName, Fault, FaultName, Reward, Schedule, Select, Step

# Requests come, and faults begin, within so many seconds.
ACTIVE: Final = 10.0
_DECISIONS: Final = (12, 24)
# So many schedules have a race in place of some decisions.
_RACES: Final = 0.5
_IN_PLACE: Final = 4
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
    "lossy_commits": (0.5, 5.0, 0.0),
    "stalled_commit": (0.3, 3.0, 0.0),
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
    "postgres_slow": (0.5, 3.0, 0.0),
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
_SHARES: Final[dict[FaultName, tuple[float, float]]] = {
    "lossy_redis": (0.02, 0.15),
    "lossy_postgres": (0.02, 0.15),
    "lossy_commits": (0.1, 0.6),
}
# What may happen to a process in the middle of its work.
_STRUCK: Final = frozenset({"kill", "freeze", "lossy_redis", "lossy_postgres"})
# What is worth most where it happens to whoever settles and publishes.
_OF_HOLDERS: Final = _STRUCK | {"lossy_commits", "stalled_commit"}
# What a process alone holds is lost with it, or is taken for lost.
_LOSES_MEMORY: Final = frozenset({"kill", "stop"})
_ISOLATES: Final = frozenset({"freeze", "cut_postgres", "lossy_postgres", "lossy_commits", "stalled_commit"})
_LOSES_STORE: Final = frozenset({"redis_emptied", "redis_rolled_back", "redis_fails_over", "postgres_fails_over"})
# Without Postgres a claim on an own id in Redis is enough, if Redis has not lost others.
# Who has lost its sessions takes Postgres for silent until its next heartbeat.
_SILENCES_POSTGRES: Final = frozenset(name for name in _FAULTS if "postgres" in name or "commit" in name) | {
    "sessions_ended"
}
_SILENCES_REDIS: Final = frozenset(
    {"cut_redis", "lossy_redis", "redis_away", "redis_frozen", "redis_full", "redis_read_only"}
)
_LOSES_CLAIMS: Final = frozenset({"redis_emptied", "redis_rolled_back", "redis_fails_over"})
# Who is stopped does not tell Redis of a claim whose commit it has not heard of.
_STOPS: Final = frozenset({"kill", "stop", "freeze"})
# How long a request waits for both stores, and an event in a queue after Postgres is back.
_ASKED: Final = 2.0
_QUEUED: Final = 2 * DEAD_AFTER
# A beat, and what its statement may take.
_LOOKS_EVERY: Final = 1.8


def make_schedule(seed: int) -> Schedule:
    """Return the schedule of a seed, the same on every machine."""
    rng = Random(f"schedule {seed}")
    replicas = rng.choice((2, 2, 3))
    race = draw_race(rng, replicas) if rng.random() < _RACES else []
    by_race = [step for step in race if isinstance(step, Fault)]
    faults = _faults(rng, replicas, list(by_race))
    if any(isinstance(step, Select) and step.own_id for step in race) and _may_forget_claims(faults, by_race):
        faults = by_race
    requests = _requests(rng, replicas, [fault.at for fault in faults], fewer=_IN_PLACE if race else 0)
    if _may_forget_claims(faults):
        requests = [replace(step, own_id=None) if isinstance(step, Select) else step for step in requests]
    steps = [*faults, *requests, *(step for step in race if not isinstance(step, Fault))]
    return Schedule(seed, replicas, tuple(sorted(steps, key=lambda step: step.at)))


def _faults(rng: Random, replicas: int, found: list[Fault]) -> list[Fault]:
    """Return faults, also those that there are already."""
    names = list(_FAULTS)
    weights = [_WEIGHTS.get(name, 1) for name in names]
    count = rng.choices((0, 1, 2, 3), (1, 6, 8, 5) if not found else (8, 8, 3, 1))[0]
    at = rng.uniform(0.0, ACTIVE - 2.0)
    for name in rng.choices(names, weights, k=count):
        shortest, longest, lag = _FAULTS[name]
        fault = Fault(
            round(at, 3),
            name,
            replica=HOLDER if name in _OF_HOLDERS and rng.random() < 0.3 else rng.randrange(replicas),
            lasts=round(shortest + (longest - shortest) * rng.random() ** 2, 3),
            lag=round(lag * rng.random(), 3),
            share=round(rng.uniform(*_SHARES[name]), 3) if name in _SHARES else 0.0,
            messages=rng.randrange(1, 20) if name in _STRUCK and rng.random() < 0.5 else 0,
        )
        if _may_meet(fault, found):
            found.append(fault)
        # Two that race are worth most.
        at = min(ACTIVE, at + rng.uniform(0.0, 1.0)) if rng.random() < 0.6 else rng.uniform(0.0, ACTIVE)
    return found


def _may_meet(fault: Fault, others: Sequence[Fault]) -> bool:
    """Whether nothing acknowledged may be lost: it may if a process and a store lose what they hold."""
    faults = [fault, *others]
    loses_store = any(each.what in _LOSES_STORE for each in faults)
    silences_postgres = any(each.what in _SILENCES_POSTGRES for each in faults)
    return not (
        (loses_store and any(_is_losing(each, faults) for each in faults))
        or (silences_postgres and any(_is_unseen(each) for each in faults))
        or any(each.what == fault.what and each.replica == fault.replica for each in others)
    )


def _is_unseen(fault: Fault) -> bool:
    """Whether Redis goes back by less than the time between a process's looks at it: not every process sees that."""
    return fault.what in ("redis_rolled_back", "redis_fails_over") and min(fault.lag, fault.at) < _LOOKS_EVERY


def _may_forget_claims(faults: Sequence[Fault], but: Sequence[Fault] = ()) -> bool:
    """Whether an own id may be given that neither store has confirmed, so that others may give it again.

    It may if Redis is away, or loses claims, while Postgres is silent or has not got what was queued meanwhile. Two
    faults of `but` are not looked at together, unless a process is stopped as well.
    """
    is_stopped = any(each.what in _STOPS for each in faults)
    return any(
        other.what in _SILENCES_POSTGRES
        and one.what in _SILENCES_REDIS | _LOSES_CLAIMS
        and other.at < one.at + one.lasts + _ASKED
        and one.at < other.at + other.lasts + _QUEUED
        and (is_stopped or not (one in but and other in but))
        for one in faults
        for other in faults
    )


def _is_losing(fault: Fault, faults: Iterable[Fault]) -> bool:
    """Whether a process is gone, or is away for so long, all in all, that others take it for dead."""
    isolated = [each for each in faults if each.what in _ISOLATES and _may_be_one(each, fault)]
    is_isolated = fault.what in _ISOLATES and sum(each.lasts for each in isolated) > LONGEST_ISOLATION
    return fault.what in _LOSES_MEMORY or is_isolated


def _may_be_one(one: Fault, other: Fault) -> bool:
    return one.replica == other.replica or HOLDER in (one.replica, other.replica)


def _requests(rng: Random, replicas: int, hot: list[float], *, fewer: int) -> list[Step]:
    steps: list[Step] = []
    micro = 0
    own_ids = [f"own-{number}" for number in range(3)]

    def anywhere() -> int:
        return rng.randrange(replicas)

    for number in range(rng.randint(*_DECISIONS) - fewer):
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
    for number in range(rng.choice((0, 1, 2))):
        steps += _direct(rng, number, anywhere, hot)
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


def _direct(rng: Random, number: int, anywhere: Callable[[], int], hot: list[float]) -> Iterator[Direct]:
    """Yield rewards for an arm under one id, each with another value."""
    experiment, at = rng.choice(_EXPERIMENTS), _moment(rng, hot)
    for attempt in range(rng.choice((1, 2, 3))):
        micro = 800_000 + 10 * number + attempt
        at_ = round(at + attempt * rng.choice((0.002, 0.2, 2.0)) * rng.random(), 3)
        yield Direct(at_, anywhere(), f"direct-{number}", experiment, rng.randrange(ARMS), micro, rng.random() < 0.2)


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
