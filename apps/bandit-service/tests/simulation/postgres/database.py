"""What a primary holds: the tables, the log of its commits, and its timeline."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import errors

from .schema import DEFINITIONS, KeptFrom, Key, TableDefinition, TimelineRow
from .table import Table

if TYPE_CHECKING:
    from .transaction import Transaction

# The key of a table of one row.
ONLY_ROW = True
# How many values of a sequence the log runs ahead, and how many are skipped at most after a crash or a failover.
SKIPPED_IDS = 32


@dataclass(slots=True, eq=False)
class Commit:
    """A commit in the log.

    Attributes:
        began_at: When its transaction began.
        at: When it was committed.
        client: Who did it.
        timeline: The number of the timeline that it is on.
        changes: Each row that it wrote, before and after.
        xid: The id of its transaction.
        ids: The identity columns at that time.
        heard_at: When its client heard of it; None if it never did.
    """

    began_at: float
    at: float
    client: str
    timeline: int
    changes: list[tuple[Table, Key, Any, Any]]
    xid: int
    ids: dict[str, int]
    heard_at: float | None = None


class Database:
    """The data of one server.

    Args:
        now_us: Its clock, which gives no time twice.
        kept: Seconds for which commits can be taken out of it again.
    """

    def __init__(self, now_us: Callable[[], int], kept: float) -> None:
        self.now_us = now_us
        self.tables = {definition.name: Table(definition) for definition in DEFINITIONS}
        table = self.tables.__getitem__
        self.namespaces = table("namespaces")
        self.api_keys = table("api_keys")
        self.experiments = table("experiments")
        self.experiment_arms = table("experiment_arms")
        self.experiment_changes = table("experiment_changes")
        self.bandit_events = table("bandit_events")
        self.arm_totals = table("arm_totals")
        self.exposures = table("exposures")
        self.own_ids = table("own_ids")
        self.unsettled = table("unsettled")
        self.open_buckets = table("open_buckets")
        self.producers = table("producers")
        self.timelines = table("timelines")
        self.leases = table("leases")
        self.weights = table("weights")
        self.linear_checkpoints = table("linear_checkpoints")
        self.allocations = table("allocations")
        self.weight_periods = table("weight_periods")
        self.refused_events = table("refused_events")
        self.erased_units = table("erased_units")
        self.kept_from = table("kept_from")
        self.advisory_locks = Table(TableDefinition("advisory locks", tuple))
        self.is_read_only = False
        self.is_in_recovery = False
        self.timeline_number = 1
        self.running: dict[Transaction, None] = {}
        self._with_xid: dict[Transaction, None] = {}
        self._kept = kept
        self._xid = 1_000
        self._ids: dict[str, int] = {}
        self._log: deque[Commit] = deque()
        self.timelines.put(self.timeline(), TimelineRow(self.timeline(), now_us()))
        self.kept_from.put(ONLY_ROW, KeptFrom(ONLY_ROW, float("-inf")))

    def timeline(self) -> str:
        """Return ledger_timeline()."""
        if self.is_in_recovery:
            raise errors.ObjectNotInPrerequisiteState("recovery is in progress")
        return f"{self.timeline_number:08X}"

    def timeline_base(self) -> int:
        self.timeline()
        return (self.timeline_number - 1) * 1_000_000_000

    def is_whole(self, transaction: Transaction) -> bool:
        """Return ledger_is_whole()."""
        since = self.whole_from(transaction)
        return since is not None and since <= self.now_us()

    def whole_from(self, transaction: Transaction) -> int | None:
        """Return since when the ledger is whole by what is there now; None if it is not."""
        timeline = self.timeline()
        found = transaction.get(self.timelines, timeline)
        follow = all(each.dead or each.timeline == timeline for each in transaction.rows(self.producers))
        return found.settled_at if found is not None and follow else None

    def take_xid(self, transaction: Transaction) -> int:
        """Give a transaction that writes or locks its id."""
        self._xid += 1
        self._with_xid[transaction] = None
        return self._xid

    def oldest_xid(self) -> int:
        """Return the xmin of a snapshot that is taken now: ids are given in their order."""
        oldest = next(iter(self._with_xid), None)
        return self._xid + 1 if oldest is None else oldest.xid or 0

    def ended(self, transaction: Transaction) -> None:
        self.running.pop(transaction, None)
        self._with_xid.pop(transaction, None)

    def next_id(self, table: str) -> int:
        """Return the next value of a table's identity column; one that is rolled back is not given again."""
        found = self._ids[table] = self._ids.get(table, 0) + 1
        return found

    def commit(self, transaction: Transaction, at: float) -> Commit | None:
        """Make a transaction's writes visible; return the commit, None if there is nothing to commit."""
        changes = []
        for table, key, row in transaction.written():
            changes.append((table, key, table.rows.get(key), row))
            table.put(key, row)
        while self._log and self._log[0].at < at - self._kept:
            self._log.popleft()
        if not changes:
            return None
        client, ids = transaction.session.client, dict(self._ids)
        xid = transaction.xid or 0
        commit = Commit(transaction.began_at, at, client, self.timeline_number, changes, xid, ids)
        self._log.append(commit)
        return commit

    def lose(self, since: float, skip: Callable[[int], int]) -> list[Commit]:
        """Take out every commit after a time; return them, the last one first.

        Args:
            since: From when on.
            skip: Returns a number below its argument: how many ids are passed over.
        """
        lost = []
        while self._log and self._log[-1].at > since:
            commit = self._log.pop()
            for table, key, row, _ in reversed(commit.changes):
                table.put(key, row)
            self._xid = min(self._xid, commit.xid - 1)
            self._ids = commit.ids
            lost.append(commit)
        self.skip_ids(skip)
        return lost

    def skip_ids(self, skip: Callable[[int], int]) -> None:
        self._ids = {name: last + skip(SKIPPED_IDS + 1) for name, last in self._ids.items()}

    def copy_of(self, other: Database) -> None:
        """Take over the committed rows of another database, and its timeline."""
        for name, table in other.tables.items():
            self.tables[name].copy_of(table)
        self.timeline_number = other.timeline_number
