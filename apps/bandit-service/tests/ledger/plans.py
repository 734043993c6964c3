"""What statements touch, by their plans: each is explained where it is executed, with the parameters it has there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

import pytest
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import tuple_row

from bandit_service.ledger.pool import numbered_statement, statement

_EXPLAIN: Final = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
_REMOVED: Final = ("Rows Removed by Filter", "Rows Removed by Index Recheck")


@dataclass(frozen=True, slots=True)
class Touched:
    """What a statement touched.

    Attributes:
        rows: Rows that scans of tables and indexes returned or threw away.
        blocks: Blocks that it looked at.
        planned: Blocks of the catalog that were looked at to plan it.
        plan: The plan, as Postgres explains it.
    """

    rows: int
    blocks: int
    planned: int
    plan: dict[str, Any]

    @classmethod
    def of(cls, explained: dict[str, Any]) -> Touched:
        plan = explained["Plan"]
        rows = sum(_scanned(node) for node in _nodes(plan))
        return cls(round(rows), _blocks(plan), _blocks(explained.get("Planning", {})), plan)


@contextmanager
def explaining(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Touched]]:
    """Explain each stored statement; of one that is executed several times, the most rows and blocks are kept."""
    found: dict[str, Touched] = {}
    execute = AsyncCursor[Any].execute

    async def explain_and_execute(self: AsyncCursor[Any], query: Any, params: Any = None, **how: Any) -> Any:
        name = _names().get(query) if isinstance(query, str) else None
        if name is not None:
            rows, self.row_factory = self.row_factory, tuple_row
            await execute(self, "SAVEPOINT explained")
            await execute(self, _EXPLAIN + query, params)
            [[document]] = await self.fetchone() or [[{}]]
            await execute(self, "ROLLBACK TO explained")
            self.row_factory = rows
            touched = Touched.of(document)
            before = found.get(name, touched)
            most = max(before, touched, key=lambda each: each.blocks)
            found[name] = replace(most, rows=max(before.rows, touched.rows))
        return await execute(self, query, params, **how)

    with monkeypatch.context() as patched:
        patched.setattr(AsyncCursor, "execute", explain_and_execute)
        # Within a pipeline nothing can be asked in between.
        patched.setattr(AsyncConnection, "pipeline", _transaction)
        yield found


@asynccontextmanager
async def _transaction(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    await connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")


@cache
def _names() -> dict[str, str]:
    """Return the name of each stored statement by its text, as it is and with numbered placeholders."""
    names = [path.name.removesuffix(".sql") for path in files("bandit_service.ledger.sql").iterdir()]
    texts = {name: statement(name) for name in names if name.isidentifier() and not name.startswith("__")}
    return {text: name for name, text in texts.items()} | {numbered_statement(name).text: name for name in texts}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _scanned(node: dict[str, Any]) -> float:
    if node["Node Type"] == "ModifyTable" or not {"Relation Name", "Index Name"} & node.keys():
        return 0.0
    removed = sum(node.get(name, 0) for name in _REMOVED)
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def _blocks(node: dict[str, Any]) -> int:
    return int(node.get("Shared Hit Blocks", 0)) + int(node.get("Shared Read Blocks", 0))
