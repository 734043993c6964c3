"""What is there at the end of a schedule, as plain values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..told import Told

type Row = Mapping[str, Any]
# Experiment, decision, position.
type Place = tuple[str, str, int]


def direct_place(experiment: str, reward_id: str) -> Place:
    """Return where the one event of a reward for an arm stands."""
    return experiment, f"direct/{reward_id}", 0


def is_direct(place: Place) -> bool:
    return place[1].startswith("direct/")


@dataclass(frozen=True, slots=True)
class Health:
    """What a process says of itself at the end, and how much it still holds that the ledger does not have."""

    replica: str
    parts_away: tuple[str, ...]
    waiting: int


@dataclass(frozen=True)
class Found:
    """Attributes:

    window: The reward window of every experiment, in seconds.
    tolerance: How far apart the clocks by which a window is judged may be, in seconds.
    epoch: What is added to true time in the ledger, in seconds.
    units: By name of a unit, what it is stored under.
    erased: Units whose erasure was confirmed.
    erasing: Those, and units whose erasure was begun and is not finished.
    tables: The rows of Postgres's tables, by column; times in microseconds.
    mirror: By key, what Redis holds.
    keeps_request_ids: Every process had Redis all the time.
    """

    told: Sequence[Told]
    experiments: Sequence[str]
    arms: int
    window: float
    tolerance: float
    epoch: float
    units: Mapping[str, bytes]
    erased: frozenset[str]
    erasing: frozenset[str]
    tables: Mapping[str, Sequence[Row]]
    mirror: Mapping[str, bytes | Mapping[bytes, bytes]]
    streams: Sequence[str]
    health: Sequence[Health]
    keeps_request_ids: bool
    notes: Sequence[str] = field(default_factory=list)

    @cached_property
    def events(self) -> dict[tuple[str, Place], list[Row]]:
        """The events by kind and place; one of each, unless something is wrong."""
        found: dict[tuple[str, Place], list[Row]] = defaultdict(list)
        for row in self.tables["bandit_events"]:
            found[row["kind"], (row["experiment_id"], row["decision_id"], row["position"])].append(row)
        return dict(found)

    def one(self, kind: str, place: Place) -> Row | None:
        """Return the event of a kind at a place."""
        return next(iter(self.events.get((kind, place), ())), None)

    @cached_property
    def places(self) -> list[Place]:
        """Every place of which there is an event."""
        return sorted({place for _, place in self.events})
