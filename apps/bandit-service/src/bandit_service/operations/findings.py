"""What is well, doubtful or wrong with an installation, and what to do about it. Pure judgement; no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bandit_service.ledger.inspection import DatabaseFacts, TableFacts
from bandit_service.mirror.inspection import StoreFacts
from bandit_service.operations.partitions import wanted_days
from bandit_service.spool.inspection import SpoolFacts

OLDEST_REDIS = (6, 2)
OLDEST_POSTGRES = 14
MOST_SKEW = 2.0
MEMORY_WARNING = 0.8
CONNECTIONS_WARNING = 0.8

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    status: Status
    what: str
    do: str = ""


def judge_store(facts: StoreFacts) -> Iterator[Finding]:
    """Say what a Redis, Valkey or Dragonfly is like."""
    if facts.may_ask:
        yield _version(facts)
    else:
        what = "its user may not run INFO: version, eviction, memory and durability are unknown"
        yield Finding("Redis INFO", "warn", what, "allow INFO to its user (ACL SETUSER ... +info)")
    if facts.role not in (None, "master"):
        yield Finding("Redis role", "fail", f"it is a {facts.role} and takes no writes", "point at the primary")
    if facts.refused_scripts:
        names = ", ".join(facts.refused_scripts)
        yield Finding("Redis scripts", "fail", f"it does not take {names}", "allow EVAL and SCRIPT LOAD to its user")
    else:
        yield Finding("Redis scripts", "ok", "all can be loaded")
    if facts.may_ask:
        yield from _eviction(facts)
        yield _memory(facts)
        yield _durability(facts)
    if facts.clock_ahead is not None:
        yield _skew("Redis clock", facts.clock_ahead)


def judge_spool(facts: SpoolFacts) -> Iterator[Finding]:
    """Say whether a Redis, Valkey or Dragonfly takes batches."""
    if facts.is_cluster:
        do = "use one server with replicas, or a Dragonfly: meanwhile events go to Postgres directly"
        yield Finding("Redis mode", "fail", f"{facts.refusal}, and a process knows one server only", do)
    elif facts.refusal is None:
        yield Finding("Redis streams", "ok", "an entry can be appended")
    else:
        do = "give its user the rights, room or connection that are missing; meanwhile events go to Postgres directly"
        yield Finding("Redis streams", "fail", f"no entry can be appended: {facts.refusal}", do)


def judge_database(facts: DatabaseFacts) -> Iterator[Finding]:
    """Say what a Postgres server is like."""
    major = facts.version // 10_000
    if major < OLDEST_POSTGRES:
        do = f"use Postgres {OLDEST_POSTGRES} or newer"
        yield Finding("Postgres version", "fail", f"it is Postgres {major}", do)
    else:
        yield Finding("Postgres version", "ok", f"it is Postgres {major}")
    if facts.read_only:
        yield Finding("Postgres role", "fail", "it takes no writes", "point at the primary")
    if facts.durable:
        yield Finding("Postgres durability", "ok", "commits survive a crash")
    else:
        what = "fsync or synchronous_commit is off: a crash of the server loses commits that the service relies on"
        yield Finding("Postgres durability", "warn", what, "turn both on")
    share = facts.connections / facts.connection_limit
    what = f"{facts.connections} of {facts.connection_limit} are in use"
    if share > CONNECTIONS_WARNING:
        do = "raise max_connections, lower BANDIT_POSTGRES_POOL_MAX, or put PgBouncer in front"
        yield Finding("Postgres connections", "warn", what, do)
    else:
        yield Finding("Postgres connections", "ok", what)
    yield _skew("Postgres clock", facts.clock_ahead)


def judge_tables(facts: TableFacts, head_revision: str, now: float) -> Iterator[Finding]:
    """Say whether the schema is up to date and the partitions are ahead of the time `now` (seconds)."""
    if (facts.revision or "") < head_revision:
        what = f"it is at revision {facts.revision}, this version needs {head_revision}"
        yield Finding("schema", "fail", what, "run `bandit-service migrate`")
    else:
        yield Finding("schema", "ok", f"it is at revision {facts.revision}")
    today, tomorrow, *_ = [day.partition in facts.sizes for day in wanted_days(now)]
    if today and tomorrow:
        yield Finding("partitions", "ok", "those of today and tomorrow are there")
    else:
        what = f"that of {'tomorrow' if today else 'today'} is missing"
        yield Finding("partitions", "warn", what, "run `bandit-service partitions`")
    if facts.default_is_empty:
        yield Finding("default partition", "ok", "it is empty")
    else:
        do = (
            "harmless in small numbers (rewards that came very late): `bandit-service partitions` and `retain` clear it"
        )
        yield Finding("default partition", "warn", "there are events in it", do)


def _version(facts: StoreFacts) -> Finding:
    number = tuple(int(part) for part in re.findall(r"\d+", facts.redis_version or "")[:2])
    what = f"it is {facts.server} {facts.version}" if facts.server else "it does not say what it is"
    if number < OLDEST_REDIS:
        return Finding("Redis version", "fail", what, "use Redis 6.2, Valkey 7 or Dragonfly 1, or newer ones")
    return Finding("Redis version", "ok", what)


def _eviction(facts: StoreFacts) -> Iterator[Finding]:
    if facts.policy in (None, "noeviction"):
        yield Finding("Redis eviction", "ok", "it never drops keys")
    else:
        lost = "batches that Postgres may not have yet, and claims of decision ids"
        what = f"under memory pressure it drops keys ({facts.policy}): {lost}"
        yield Finding(
            "Redis eviction", "fail", what, "CONFIG SET maxmemory-policy noeviction, and in its configuration"
        )


def _memory(facts: StoreFacts) -> Finding:
    used = f"{facts.memory_used / 2**20:.0f} MiB"
    if facts.memory_limit == 0:
        what = f"{used} are in use, without a limit: the system may kill it"
        return Finding("Redis memory", "warn", what, "set maxmemory; how much: docs/capacity.md")
    share = facts.memory_used / facts.memory_limit
    what = f"{used} of {facts.memory_limit / 2**20:.0f} MiB are in use ({share:.0%})"
    if share > MEMORY_WARNING:
        return Finding("Redis memory", "warn", what, "raise maxmemory, or see why Postgres lags behind")
    return Finding("Redis memory", "ok", what)


def _durability(facts: StoreFacts) -> Finding:
    if not facts.last_write_ok:
        return Finding("Redis durability", "fail", "its last write to disk failed", "look at its log and its disk")
    if facts.append_only is False:
        what = "the append-only file is off: after a restart of it and of a process at once, events are lost"
        return Finding("Redis durability", "warn", what, "set appendonly to yes")
    return Finding("Redis durability", "ok", "it keeps an append-only file" if facts.append_only else "it does not say")


def _skew(subject: str, ahead: float) -> Finding:
    what = f"it is {abs(ahead):.2f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) > MOST_SKEW:
        return Finding(subject, "warn", what, "have both synchronised (NTP)")
    return Finding(subject, "ok", what)


def few(names: list[str]) -> str:
    """Name the first three, and say how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
