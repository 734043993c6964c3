"""What a learner needs of a store, and the values they exchange.

A store keeps sums, not beliefs: priors belong to the learner's configuration and may change without touching the data.
Sums are whole numbers (rewards in millionths), so they do not depend on the order in which they are added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self


class ArmKey(NamedTuple):
    """An arm's posterior: the state is what the context selected (see `context.py`)."""

    state: str
    arm: str


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """What happened to an arm: how often it was selected and observed, and its successes and failures in millionths."""

    selections: int = 0
    observations: int = 0
    successes: int = 0
    failures: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.selections + other.selections,
            self.observations + other.observations,
            self.successes + other.successes,
            self.failures + other.failures,
        )

    def decayed(self, factor: float) -> Self:
        """Return the counts with successes and failures multiplied by `factor`, rounded half up."""
        successes, failures = (int(value * factor + 0.5) for value in (self.successes, self.failures))
        return type(self)(self.selections, self.observations, successes, failures)


@dataclass(frozen=True, slots=True)
class ArmChange:
    """Counts to add to an arm's; one with an `observation_id` is added only if that id was never added before."""

    key: ArmKey
    counts: ArmCounts
    observation_id: str | None = None


class LearningStore(Protocol):
    """Keeps the counts of learners, by their name.

    Every method is one step: it happens as a whole or not at all, whatever other tasks, processes or machines do with
    the same data, and counts added by several of them all count. `None` for an arm or a state means every one.
    A class of your own is a store when it has these methods; the tests of this package hold the contract all four
    stores pass (`tests/learning/test_stores.py`).
    """

    async def initialize(self) -> None:
        """Make whatever is needed before the first use; doing it again changes nothing."""
        ...

    async def add(self, learner: str, changes: Sequence[ArmChange]) -> list[bool]:
        """Add all changes; return for each whether it was added, False meaning its observation was known."""
        ...

    async def counts(self, learner: str, state: str | None = None) -> dict[ArmKey, ArmCounts]:
        """Return the counts of every arm that has any."""
        ...

    async def decay(self, learner: str, factor: float, arm: str | None = None, state: str | None = None) -> None:
        """Multiply successes and failures by a factor in [0, 1], rounding half up to whole millionths."""
        ...

    async def reset(self, learner: str, arm: str | None = None, state: str | None = None) -> None:
        """Forget the counts; with neither arm nor state also which observations are known."""
        ...

    async def close(self) -> None:
        """Give back what the store itself has opened."""
        ...


def named_observations(changes: Iterable[ArmChange]) -> list[str]:
    """Return the ids of observations in the changes, each once, sorted so that two writers never deadlock."""
    return sorted({change.observation_id for change in changes if change.observation_id is not None})


def accept(changes: Sequence[ArmChange], unknown: Iterable[str]) -> list[bool]:
    """Return which changes count when these observations are unknown yet: of each the first."""
    left = set(unknown)
    accepted = []
    for change in changes:
        accepted.append(change.observation_id is None or change.observation_id in left)
        left.discard(change.observation_id or "")
    return accepted


def summed(changes: Sequence[ArmChange], accepted: Sequence[bool]) -> dict[ArmKey, ArmCounts]:
    """Return what the accepted changes add to each arm, in the order of the keys."""
    sums: dict[ArmKey, ArmCounts] = {}
    for change, counts_in in zip(changes, accepted, strict=True):
        if counts_in:
            sums[change.key] = sums.get(change.key, ArmCounts()) + change.counts
    return dict(sorted(sums.items()))
