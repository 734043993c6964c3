"""Nobody has to come: when the faults are over, every process is in order, and nothing waits for one that is gone."""

from __future__ import annotations

from collections.abc import Iterator

from .found import Found


def check_health(found: Found) -> Iterator[str]:
    for each in found.health:
        if each.parts_away:
            yield f"NOT IN ORDER: {each.replica} says {', '.join(each.parts_away)}"
        if each.waiting:
            yield f"NOT WRITTEN: {each.replica} holds {each.waiting} events"
    living = len(found.health)
    if len(found.tables["producers"]) != living:
        names = [row["name"] for row in found.tables["producers"]]
        yield f"PROCESSES in the ledger: {names}, of which {living} live"
    if len(found.streams) != living:
        yield f"STREAMS in Redis: {found.streams}, of {living} living processes"
    yield from check_units(found)


def check_units(found: Found) -> Iterator[str]:
    for unit in sorted(found.erased):
        name = found.units[unit]
        for table in ("bandit_events", "exposures"):
            rows = [row for row in found.tables[table] if row["unit_hash"] == name]
            if rows:
                yield f"ERASED {unit} is back in {len(rows)} rows of {table}"
