"""A transaction under READ COMMITTED: what it has written, what it has locked, and for whom it waits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from psycopg import errors

from .schema import Key
from .table import Table

if TYPE_CHECKING:
    from .database import Database
    from .session import Session

# A statement waits until the transaction that it yields has ended; None: it takes a moment.
type Steps[T] = Generator[Transaction | None, None, T]


class Transaction:
    """A transaction of a session. Its writes are seen by nobody else before it is committed."""

    __slots__ = (
        "_locks",
        "_shares",
        "_writes",
        "began_at",
        "began_us",
        "database",
        "has_ended",
        "session",
        "snapshot_xmin",
        "waiters",
        "xid",
    )

    def __init__(self, session: Session, database: Database) -> None:
        self.session = session
        self.database = database
        self.began_at = session.server.time()
        self.began_us = database.now_us()
        self.has_ended = False
        self.xid: int | None = None
        # Of the snapshot of its last statement.
        self.snapshot_xmin: int | None = None
        self.waiters: list[Callable[[], None]] = []
        self._writes: dict[Table, dict[Key, Any]] = {}
        self._locks: list[tuple[Table, Key]] = []
        self._shares: list[tuple[Table, Key]] = []

    # What a statement reads: what is committed when it begins, and what the transaction itself has written.

    def get(self, table: Table, key: Key) -> Any:
        """Return a row as this transaction sees it now; None if there is none."""
        own = self._writes.get(table)
        if own is not None and key in own:
            return own[key]
        return table.rows.get(key)

    def rows(self, table: Table) -> Iterable[Any]:
        """Return all rows; to be read before the statement waits for anybody."""
        own = self._writes.get(table)
        if not own:
            return table.rows.values()
        return [row for row in (table.rows | own).values() if row is not None]

    def group(self, table: Table, group: Any) -> list[Any]:
        """Return the rows of a group."""
        rows, own = table.rows, self._writes.get(table)
        if not own:
            return [rows[key] for key in table.group(group)]
        keys = dict(table.group(group)) | {key: None for key in own if table.group_of(key) == group}
        found = [own[key] if key in own else rows[key] for key in keys]
        return [row for row in found if row is not None]

    # What a statement writes.

    def write(self, table: Table, key: Key, row: Any) -> None:
        """Write a row that this transaction has locked; None deletes it."""
        self._writes.setdefault(table, {})[key] = row

    def insert(self, table: Table, key: Key, row: Any) -> Steps[bool]:
        """Insert a row ON CONFLICT DO NOTHING; return whether it was inserted.

        One that another transaction is inserting, changing or deleting is waited for. One that is only locked is there.
        """
        while True:
            holder = table.locks.get(key)
            if holder is None or holder is self:
                if self.get(table, key) is not None:
                    return False
                self._lock(table, key)
                self.write(table, key, row)
                return True
            if not holder.has_written(table, key):
                return False
            yield holder

    def insert_new(self, table: Table, key: Key, row: Any) -> Steps[None]:
        """Insert a row whose key nobody may have.

        Raises:
            errors.UniqueViolation: somebody has it.
        """
        if not (yield from self.insert(table, key, row)):
            raise errors.UniqueViolation(f"duplicate key value violates unique constraint of {table.name}")

    def upsert(self, table: Table, key: Key, row: Any, merged: Callable[[Any], Any]) -> Steps[Any]:
        """Insert a row ON CONFLICT DO UPDATE; return what is there then.

        Args:
            table: Where.
            key: Of the row.
            row: To be inserted if there is none.
            merged: Returns the new row for the newest version of the one that is there; None leaves it, locked.
        """
        while True:
            found = yield from self.lock(table, key)
            if found is None:
                if (yield from self.insert(table, key, row)):
                    return row
                continue
            changed = merged(found)
            if changed is not None:
                self.write(table, key, changed)
            return changed

    def lock(self, table: Table, key: Key, *, strongly: bool = False) -> Steps[Any]:
        """Lock a row, after whoever has it has ended; return its newest version, None if there is none (any more).

        Args:
            table: Where.
            key: Of the row.
            strongly: Also against foreign keys, as FOR UPDATE and DELETE do. Otherwise as FOR NO KEY UPDATE and UPDATE.
        """
        while True:
            holder = table.locks.get(key)
            if holder is not None and holder is not self:
                yield holder
                continue
            sharer = self._other(table.shares.get(key)) if strongly else None
            if sharer is not None:
                yield sharer
                continue
            found = self.get(table, key)
            if found is not None:
                self._lock(table, key)
                if strongly:
                    table.strong[key] = self
            return found

    def take(self, table: Table, key: Key) -> Steps[None]:
        """Take a lock that belongs to no row."""
        while (holder := table.locks.get(key)) not in (None, self):
            yield holder
        self._hold(table, key)

    def refer(self, table: Table, key: Key) -> Steps[None]:
        """Check a foreign key, and keep its row from being deleted until the transaction ends.

        Raises:
            errors.ForeignKeyViolation: there is no such row.
        """
        while True:
            holder = table.strong.get(key)
            if holder is None or holder is self:
                break
            yield holder
        if self.get(table, key) is None:
            raise errors.ForeignKeyViolation(f"insert or update violates foreign key constraint to {table.name}")
        self.take_xid()
        table.shares.setdefault(key, []).append(self)
        self._shares.append((table, key))

    def is_free(self, table: Table, key: Key) -> bool:
        """Return whether nobody else has locked a row; SKIP LOCKED passes over one that somebody has."""
        holder = table.locks.get(key)
        if holder is not None and holder is not self:
            holder.session.end_if_expired()
        return table.locks.get(key) in (None, self)

    @property
    def is_logged(self) -> bool:
        """Whether there is something to replicate: rows that it has written, or locked."""
        return self.xid is not None and bool(self._locks or self._shares)

    def has_written(self, table: Table, key: Key) -> bool:
        own = self._writes.get(table)
        return own is not None and key in own

    def written(self) -> Iterator[tuple[Table, Key, Any]]:
        for table, own in self._writes.items():
            for key, row in own.items():
                yield table, key, row

    def end(self) -> list[Callable[[], None]]:
        """Let go of every lock; return who waits for that."""
        self.has_ended = True
        for table, key in self._locks:
            del table.locks[key]
            table.strong.pop(key, None)
        for table, key in self._shares:
            sharers = table.shares[key]
            sharers.remove(self)
            if not sharers:
                del table.shares[key]
        self._locks, self._shares, self._writes = [], [], {}
        waiters, self.waiters = self.waiters, []
        return waiters

    def _lock(self, table: Table, key: Key) -> None:
        self.take_xid()
        self._hold(table, key)

    def take_xid(self) -> int:
        """Return the transaction's id; it gets one by writing, by locking a row, or by asking for it."""
        if self.xid is None:
            self.xid = self.database.take_xid(self)
        return self.xid

    def _hold(self, table: Table, key: Key) -> None:
        if key not in table.locks:
            table.locks[key] = self
            self._locks.append((table, key))

    def _other(self, transactions: list[Transaction] | None) -> Transaction | None:
        return next((each for each in transactions or () if each is not self), None)
