"""A migration never holds up those who use the tables: it is quick, or it gives up and says because of whom."""

import threading
import time
from datetime import UTC, datetime

import psycopg
import pytest

from bandit_service.ledger import migrations
from bandit_service.ledger.migrations import SchemaBusyError

INSERT = (
    "INSERT INTO bandit_events"
    " (experiment_id, decision_id, kind, decision_time, event_time, batch, ord, arm_index, stratum, counted)"
    " VALUES ('homepage', %(name)s, 'decision', %(at)s, %(at)s, 1, %(seq)s, 0, 'bandit', true)"
)


class Writers:
    """Threads that write events and change an experiment's row, each change a transaction, and measure the slowest."""

    def __init__(self, dsn: str, count: int) -> None:
        self._dsn = dsn
        self._stop = threading.Event()
        self.written: list[int] = []
        self.slowest: list[float] = []
        self._threads = [threading.Thread(target=self._write, args=[number]) for number in range(count)]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        slowest, seq = 0.0, 0
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop.is_set():
                seq += 1
                started = time.monotonic()
                with connection.transaction():
                    connection.execute("UPDATE namespaces SET created_at = now() WHERE name = 'shop'")
                    values = {"name": f"{number}-{seq}", "at": datetime.now(UTC), "seq": seq}
                    connection.execute(INSERT, values)
                slowest = max(slowest, time.monotonic() - started)
        self.written.append(seq)
        self.slowest.append(slowest)


@pytest.fixture
def first_schema(empty_postgres_dsn: str) -> str:
    """A database at the first revision."""
    migrations.upgrade(empty_postgres_dsn, "0001")
    with psycopg.connect(empty_postgres_dsn) as connection:
        connection.execute("INSERT INTO namespaces (name, unit_salt) VALUES ('shop', 'x')")
    return empty_postgres_dsn


def test_writers_go_on_while_every_later_revision_is_applied(first_schema: str) -> None:
    with Writers(first_schema, 3) as writers:
        time.sleep(0.3)
        assert migrations.upgrade(first_schema) == migrations.head_revision()
        time.sleep(0.3)
    assert len(writers.written) == 3, "no writer met an error"
    assert max(writers.slowest) < 1.0
    with psycopg.connect(first_schema) as connection:
        assert connection.execute("SELECT count(*) FROM bandit_events").fetchone() == (sum(writers.written),)


def test_a_migration_that_is_kept_waiting_gives_up_and_names_who_keeps_it(first_schema: str) -> None:
    with psycopg.connect(first_schema, application_name="nightly report") as somebody:
        somebody.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        with pytest.raises(SchemaBusyError, match=r"that of nightly report \(pid \d+, for \d+ s\)"):
            migrations.upgrade(first_schema)
        assert time.monotonic() - started < 6
    assert migrations.current_revision(first_schema) == "0001"
    assert migrations.upgrade(first_schema) == migrations.head_revision()
