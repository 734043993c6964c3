"""PgBouncer in transaction mode stands between: nothing that outlives a transaction is relied upon."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from bandit_local.servers import PostgresServer, RedisServer
from bandit_local.testing.standby import Standby
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.pool import PREPARE_AFTER, Pool, connected, make_pool

from .crowd import Crowd
from .drill import survives
from .pgbouncer import PgBouncer
from .platform import Platform, running_platform
from .proxy import Proxy
from .standby import running_pair

if TYPE_CHECKING:
    from .conftest import Report


class Pooled:
    """A platform of its own behind PgBouncer, which reaches the primary under an address that can lead elsewhere."""

    def __init__(self, platform: Platform, address: Proxy, standby: Standby) -> None:
        self.platform, self.address, self.standby = platform, address, standby

    def switch_over(self) -> None:
        """Have the primary take no more writes, and lead new connections to its standby; the old ones stay."""
        _refuse_writes(self.platform.postgres)
        self.standby.promote()
        self.platform.dsn = self.standby.dsn
        self.address.target = self.standby.port


@contextmanager
def pooled(folder: Path, signing_key: str, settings: dict[str, str]) -> Iterator[Pooled]:
    with running_pair(folder) as (primary, standby), RedisServer(folder / "redis") as redis:
        address = Proxy(primary.port)
        address.start()
        try:
            with (
                PgBouncer(folder / "pgbouncer", primary.dsn, address.port) as pooler,
                running_platform(folder, redis, primary, signing_key, pooler=pooler, settings=settings) as platform,
            ):
                platform.mend()
                yield Pooled(platform, address, standby)
        finally:
            address.end()


def _refuse_writes(server: PostgresServer) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
    time.sleep(0.5)


def nothing_breaks(_: Pooled) -> None:
    """Break nothing."""


def postgres_is_restarted(pooled: Pooled) -> None:
    pooled.platform.postgres.kill()
    time.sleep(3.0)
    pooled.platform.postgres.start()


def the_pool_stays_on_the_old_primary(pooled: Pooled) -> None:
    pooled.switch_over()


@pytest.mark.needs("pgbouncer")
@pytest.mark.verify
@pytest.mark.parametrize(
    ("failure", "settings"),
    [
        (nothing_breaks, {}),
        (nothing_breaks, {"BANDIT_POSTGRES_PREPARE": "false"}),
        (postgres_is_restarted, {}),
        (the_pool_stays_on_the_old_primary, {}),
    ],
)
async def test_everything_works_through_pgbouncer(
    tmp_path: Path, signing_key: str, failure: Callable[[Pooled], None], settings: dict[str, str], report: Report
) -> None:
    with pooled(tmp_path, signing_key, settings) as through:

        def broken(_: Platform, __: Crowd) -> None:
            failure(through)

        await survives(through.platform, 10_000, broken, report)


@pytest.mark.needs("pgbouncer")
async def test_statements_are_not_prepared_through_a_pooler_unless_that_is_asked_for(
    tmp_path: Path, postgres_dsn: str
) -> None:
    """This PgBouncer gives each transaction a session in which other clients have prepared theirs."""
    port = urlsplit(postgres_dsn).port or 0
    with PgBouncer(tmp_path / "pgbouncer", postgres_dsn, port) as pooler:
        parts = urlsplit(postgres_dsn)
        dsn = parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{pooler.port}").geturl()
        async with make_pool(dsn, prepare=None) as one, make_pool(dsn, prepare=None) as other:
            await _ask_again(one, other)
        async with make_pool(dsn, prepare=True) as one, make_pool(dsn, prepare=True) as other:
            with pytest.raises(PostgresUnavailableError, match="BANDIT_POSTGRES_PREPARE"):
                await _ask_again(one, other)


async def _ask_again(*pools: Pool) -> None:
    for pool in pools * 5 * (PREPARE_AFTER + 1):
        async with connected(pool) as connection:
            await connection.execute("SELECT 1")
