"""Requests and faults that belong together: races that requests and faults drawn one by one hardly ever make.

Each is one of the situations in which an abstract model of the protocol lost or doubled something (`situations.py`), or
in which a fault that is put back costs something. Everything about it is drawn, within bounds that make it likely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from .scale import DEAD_AFTER, KEPT, LONGEST_ISOLATION, WINDOW
from .schedule import HOLDER, PATIENCE, Activate, Erase, ExperimentName, Fault, FaultName, Reward, Select, Step

# An own id and a unit that no other request of a schedule has.
_OWN_ID: Final = "own-race"
_UNIT: Final = "unit-race"


class Race:
    """Makes the steps of one race, in a schedule of so many processes."""

    def __init__(self, rng: Random, replicas: int) -> None:
        self.rng = rng
        self.replicas = replicas
        self.at = rng.uniform(1.5, 8.0)
        self._micro = 900_000

    def place(self) -> int:
        return self.rng.randrange(self.replicas)

    def other(self, place: int) -> int:
        return (place + self.rng.randrange(1, self.replicas)) % self.replicas

    def within(self, shortest: float, longest: float) -> float:
        return self.rng.uniform(shortest, longest)

    def select(
        self,
        at: float,
        replica: int,
        label: str = "race",
        *,
        experiment: ExperimentName = "zero",
        own_id: str | None = None,
        deferred: bool = False,
    ) -> Select:
        return Select(_time(at), replica, label, experiment, _UNIT, own_id=own_id, deferred=deferred)

    def reward(
        self, at: float, replica: int, label: str = "race", *, queued: bool = False, patience: float = PATIENCE
    ) -> Reward:
        """Return a reward whose value no other has."""
        self._micro += 1
        return Reward(_time(at), replica, label, self._micro, queued=queued, patience=patience)

    def fault(
        self,
        what: FaultName,
        at: float,
        replica: int = 0,
        *,
        lasts: float = 0.0,
        lag: float = 0.0,
        share: float = 0.0,
        messages: int = 0,
    ) -> Fault:
        return Fault(_time(at), what, replica, round(lasts, 3), round(lag, 3), share, messages)


def _time(at: float) -> float:
    return round(max(0.0, at), 3)


def failover_between_rewards(race: Race) -> Iterator[Step]:
    """Rewards of one decision at several processes, around a failover that loses the first of them."""
    at, first = race.at, race.place()
    yield race.select(at - race.within(1.2, 2.5), first, experiment=race.rng.choice(("plain", "zero")))
    if race.rng.random() < 0.4:
        yield race.fault("lossy_postgres", at - 1.0, first, lasts=1.0, share=0.5)
    yield race.fault("postgres_fails_over", at, lasts=race.within(0.0, 0.6), lag=race.within(0.8, 2.5))
    yield race.reward(at - race.within(0.1, 0.7), first)
    for _ in range(race.rng.choice((2, 3, 4))):
        yield race.reward(at + race.rng.gauss(0.1, 0.4), race.other(first), queued=race.rng.random() < 0.4)


def answer_outlived_by_its_timeline(race: Race) -> Iterator[Step]:
    """The answer to a batch is on its way for so long that its process has gone on to another timeline."""
    at, place = race.at, race.place()
    for number in range(3):
        yield race.select(at + race.within(0.0, 0.1), place, f"race{number}")
    yield race.fault("stalled_commit", at + race.within(0.1, 0.3), place, lasts=race.within(1.5, 3.0))
    yield race.fault("postgres_fails_over", at + race.within(0.4, 0.8), lag=race.within(0.1, 1.0))


def lost_registration(race: Race) -> Iterator[Step]:
    """A process that a failover takes out of the ledger, with rewards that it has just decided."""
    at, new = race.at, race.replicas
    yield race.select(at - race.within(0.1, 1.0), 0)
    yield race.fault("join", at)
    lost_at = at + race.within(1.6, 2.6)
    yield race.fault("postgres_fails_over", lost_at, lag=race.within(2.0, 3.0))
    yield race.reward(lost_at - race.within(0.05, 0.6), new)
    yield race.reward(lost_at + race.within(0.0, 2.0), race.place())


def outage_longer_than_rows_are_kept(race: Race) -> Iterator[Step]:
    """A failover that loses what was committed longer ago than a process keeps it."""
    at = race.within(0.8, 2.5)
    place = race.place()
    yield race.select(at - 0.6, place)
    yield race.reward(at - race.within(0.1, 0.4), place)
    yield race.fault("postgres_fails_over", at, lasts=KEPT + race.within(0.2, 1.5), lag=race.within(0.5, 1.5))
    yield race.reward(at + KEPT + race.within(0.5, 3.0), race.other(place))


def slow_process_after_failover(race: Race) -> Iterator[Step]:
    """A process that writes again, after a failover, as late as it may."""
    at, slow = race.at, race.place()
    yield race.select(at - race.within(0.8, 1.5), slow)
    yield race.fault("freeze", at - 0.05, slow, lasts=LONGEST_ISOLATION)
    yield race.fault("postgres_fails_over", at, lag=race.within(1.0, 2.5))
    yield race.reward(at - race.within(0.2, 0.6), slow)
    yield race.reward(at + race.within(0.5, 1.6), race.other(slow))


def erased_before_failover(race: Race) -> Iterator[Step]:
    """An erasure that a failover takes back."""
    at = race.at
    yield race.select(at - race.within(0.2, 3.0), race.place())
    yield Erase(_time(at), _UNIT)
    yield race.fault("postgres_fails_over", at + race.within(0.2, 2.0), lag=race.within(1.5, 3.0))


def erased_while_written(race: Race) -> Iterator[Step]:
    """A batch that began before the tombstone of one of its units, and is committed after the first sweep."""
    at = race.at
    yield race.fault("postgres_slow", at - 0.5, lasts=race.within(1.0, 2.0))
    for number in range(3):
        yield race.select(at + race.within(-0.4, 0.2), race.place(), f"race{number}", experiment="plain")
    yield Erase(_time(at), _UNIT)


def killed_with_a_claim(race: Race) -> Iterator[Step]:
    """A process is killed between its claim on an own id and the row of that decision."""
    at, first = race.at, race.place()
    yield race.fault("kill", at - 0.001, first, lasts=race.within(0.5, 4.0), messages=race.rng.randrange(2, 6))
    yield race.select(at, first, own_id=_OWN_ID)
    yield race.select(at + race.within(0.02, 2.0), race.other(first), "race-again", own_id=_OWN_ID)


def claims_lost(race: Race) -> Iterator[Step]:
    """Redis loses a claim that the ledger may not have yet."""
    at, first = race.at, race.place()
    yield race.select(at, first, own_id=_OWN_ID)
    yield race.fault("redis_emptied", at + race.within(0.0, 0.3))
    yield race.select(at + race.within(0.0, 0.8), race.other(first), "race-again", own_id=_OWN_ID)
    yield race.reward(at + race.within(0.3, 2.0), race.place())


def claimed_without_redis(race: Race) -> Iterator[Step]:
    """An own id is given by a process that does not reach Redis."""
    at, first = race.at, race.place()
    yield race.fault("cut_redis", at - 0.2, first, lasts=race.within(0.5, 1.5))
    yield race.select(at, first, own_id=_OWN_ID)
    yield race.select(at + race.within(0.05, 3.0), race.other(first), "race-again", own_id=_OWN_ID)


def claimed_in_an_unknown_commit(race: Race) -> Iterator[Step]:
    """An own id is given in a commit that nobody hears of, by a process that does not reach Redis."""
    at, first = race.at, race.place()
    yield race.fault("redis_away", at - 0.2, lasts=race.within(0.4, 0.9))
    yield race.fault("postgres_holds_commits", at - 0.02, lasts=race.within(2.5, 5.0))
    yield race.select(at, first, own_id=_OWN_ID)
    yield race.select(at + race.within(1.5, 4.0), race.other(first), "race-again", own_id=_OWN_ID)


def frozen_with_a_reward(race: Race) -> Iterator[Step]:
    """A process is frozen with a reward it has received in time, until its stream is taken and the window is closed."""
    made, place = race.within(0.3, 4.5), race.place()
    at = made + WINDOW - race.within(0.05, 0.6)
    yield race.select(made, race.other(place))
    yield race.fault(
        "freeze", at - 0.001, place, lasts=DEAD_AFTER + race.within(2.0, 6.0), messages=race.rng.randrange(1, 3)
    )
    # Its client waits for the answer that comes when the process wakes up.
    yield race.reward(at, place, queued=True, patience=20.0)


def frozen_holder(race: Race) -> Iterator[Step]:
    """Whoever computes weights is frozen while it does, and wakes up after another process has taken over."""
    at = race.at
    for number in range(3):
        label = f"race{number}"
        yield race.select(at - race.within(0.3, 1.2), race.place(), label, experiment="plain")
        yield race.reward(at + race.within(-0.05, 0.05), race.place(), label)
    lasts = DEAD_AFTER + race.within(0.7, 3.0)
    yield race.fault("freeze", at, HOLDER, lasts=lasts, messages=race.rng.randrange(1, 16))
    for number in range(2):
        label = f"later{number}"
        yield race.select(at + race.within(1.0, lasts - 0.5), race.place(), label, experiment="plain")
        yield race.reward(at + lasts - race.within(0.1, 1.0), race.place(), label)


def killed_before_the_ledger_had_it(race: Race) -> Iterator[Step]:
    """A process is killed while only its stream has what it acknowledged."""
    at, place = race.at, race.place()
    silent: FaultName = race.rng.choice(("postgres_away", "postgres_frozen", "postgres_holds_commits", "cut_postgres"))
    yield race.fault(silent, at, place, lasts=race.within(1.0, 1.7))
    for number in range(3):
        yield race.select(at + race.within(0.0, 0.8), place, f"race{number}", experiment="plain")
    yield race.fault("kill", at + race.within(0.8, 1.6), place, lasts=race.within(0.5, 3.0))


def settled_unheard(race: Race) -> Iterator[Step]:
    """Whoever settles outcomes does not hear that they are committed."""
    at = race.at
    for number in range(3):
        label, shown_at = f"race{number}", at + race.within(0.0, 0.8)
        yield race.select(at - race.within(0.3, 1.0), race.place(), label, deferred=True, experiment="plain")
        yield Activate(_time(shown_at), race.place(), label)
        yield race.reward(shown_at + race.within(-0.2, 0.3), race.place(), label)
    yield race.fault("lossy_commits", at, HOLDER, lasts=1.7, share=0.5)


RACES: Final[tuple[Callable[[Race], Iterator[Step]], ...]] = (
    failover_between_rewards,
    failover_between_rewards,
    answer_outlived_by_its_timeline,
    lost_registration,
    outage_longer_than_rows_are_kept,
    slow_process_after_failover,
    erased_before_failover,
    erased_while_written,
    killed_with_a_claim,
    claims_lost,
    claimed_without_redis,
    claimed_in_an_unknown_commit,
    frozen_with_a_reward,
    frozen_with_a_reward,
    frozen_holder,
    frozen_holder,
    killed_before_the_ledger_had_it,
    settled_unheard,
)


def draw_race(rng: Random, replicas: int) -> list[Step]:
    """Return the steps of one race."""
    return list(rng.choice(RACES)(Race(rng, replicas)))
