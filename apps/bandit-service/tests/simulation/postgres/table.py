"""A table: its committed rows, and which transaction has locked which row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .schema import Key, TableDefinition

if TYPE_CHECKING:
    from .transaction import Transaction


class Table:
    """Committed rows by key.

    Attributes:
        rows: The committed rows.
        locks: Who has locked a row, or has inserted, changed or deleted it and not ended yet.
        strong: Of those, who keeps foreign keys from pointing to the row: FOR UPDATE and DELETE.
        shares: Whose foreign keys point to a row since they have begun: FOR KEY SHARE.
    """

    __slots__ = ("_group_of", "_groups", "json", "locks", "name", "row", "rows", "shares", "strong")

    def __init__(self, definition: TableDefinition) -> None:
        self.name = definition.name
        self.row = definition.row
        self.json = definition.json
        self.rows: dict[Key, Any] = {}
        self.locks: dict[Key, Transaction] = {}
        self.strong: dict[Key, Transaction] = {}
        self.shares: dict[Key, list[Transaction]] = {}
        self._group_of: Callable[[Key], Any] | None = definition.group_of
        # Keys in dictionaries without values, because sets have no order that is the same in every process.
        self._groups: dict[Any, dict[Key, None]] = {}

    def put(self, key: Key, row: Any) -> None:
        """Store a committed row; None removes it."""
        if row is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = row
        if self._group_of is not None:
            group = self._group_of(key)
            if row is not None:
                self._groups.setdefault(group, {})[key] = None
            elif group in self._groups:
                self._groups[group].pop(key, None)
                if not self._groups[group]:
                    del self._groups[group]

    def group(self, group: Any) -> dict[Key, None]:
        """Return the keys of the committed rows of a group."""
        return self._groups.get(group) or {}

    def group_of(self, key: Key) -> Any:
        return None if self._group_of is None else self._group_of(key)

    def copy_of(self, other: Table) -> None:
        """Take over the committed rows of another table."""
        self.rows = dict(other.rows)
        self._groups = {group: dict(keys) for group, keys in other._groups.items()}
