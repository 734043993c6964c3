"""What happened in a schedule, as the simulated stores saw it: for those who ask which situations it has reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .loop import OWNER
from .postgres.database import Commit
from .postgres.parameters import columns
from .postgres.server import SimulatedPostgres
from .postgres.statements import Model
from .redis.server import Command, SimulatedRedis
from .redis.values import raw

# Experiment, decision, kind, position, part, decision time.
type EventKey = tuple[Any, ...]

_REDIS: Final = frozenset({"set", "xadd", "renamenx", "execute_command"})


class Stated(NamedTuple):
    """A statement that names a timeline; `keys` are experiment, decision and kind of the events of a batch."""

    at: float
    client: str
    named: int
    timeline: int
    keys: frozenset[tuple[Any, ...]]


class Commanded(NamedTuple):
    """A command of Redis, and how often Redis had lost something before it."""

    at: float
    client: str
    name: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    reply: Any
    losses: int


class Lost(NamedTuple):
    """A failover: when, the new timeline, and the commits that are gone."""

    at: float
    timeline: int
    commits: list[Commit]

    def events(self) -> dict[EventKey, tuple[Commit, Any]]:
        """Return the events that are gone, by key, each with its commit and its row."""
        return {key: (commit, row) for commit in self.commits for key, row in inserted(commit, "bandit_events")}


@dataclass(slots=True)
class History:
    """Everything that was noted, in its order."""

    commits: list[Commit] = field(default_factory=list)
    stated: list[Stated] = field(default_factory=list)
    commanded: list[Commanded] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)

    def note(self, postgres: SimulatedPostgres, redis: SimulatedRedis) -> None:
        """Note from now on what the stores do."""

        def hear_statement(client: str, timeline: int, model: Model, parameters: Any) -> None:
            if model.name in ("insert_batch", "heartbeat"):
                given = model.named(parameters)
                named = int(given["timeline"] or "0", 16)
                keys = columns(given, "experiment_id", "decision_id", "kind") if model.name == "insert_batch" else ()
                self.stated.append(Stated(postgres.time(), client, named, timeline, frozenset(keys)))

        def hear_lost(commits: list[Commit]) -> None:
            self.lost.append(Lost(postgres.time(), postgres.database.timeline_number + 1, commits))

        def hear_command(command: Command, reply: Any) -> None:
            name, arguments, options = command
            if name in _REDIS:
                owner = OWNER.get(None)
                client = owner.name if owner is not None else ""
                said = Commanded(postgres.time(), client, name, arguments, options, reply, redis.losses)
                self.commanded.append(said)

        postgres.on_statement, postgres.on_commit, postgres.on_lost = hear_statement, self.commits.append, hear_lost
        redis.on_command = hear_command

    def wrote_again(self, lost: Lost, key: EventKey) -> Commit | None:
        """Return the commit that has brought an event back after a failover, as the same attempt."""
        attempt = lost.events()[key][1]
        for commit in self.commits:
            if commit.at > lost.at:
                for there, row in inserted(commit, "bandit_events"):
                    if there == key:
                        return commit if (row.batch, row.ord) == (attempt.batch, attempt.ord) else None
        return None

    def goes_on_at(self, client: str, timeline: int) -> float:
        """Return when a process has first named a timeline."""
        times = (each.at for each in self.stated if each.client == client and each.named >= timeline)
        return next(times, float("inf"))


def inserted(commit: Commit, table: str) -> list[tuple[Any, Any]]:
    """Return the rows that a commit has inserted into a table, with their keys."""
    return [(key, row) for there, key, before, row in commit.changes if there.name == table and before is None and row]


def redis_key(command: Commanded) -> bytes:
    return raw(command.arguments[0])
