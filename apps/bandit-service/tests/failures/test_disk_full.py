"""The disk of Postgres is full: as if Postgres were away, until there is room."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandit_local.servers import PostgresServer, RedisServer
from bandit_service.ledger import migrations

from .crowd import Crowd
from .drill import survives
from .platform import Platform, running_platform

if TYPE_CHECKING:
    from .conftest import Report

SIZE = "300m"
# Few segments of the write-ahead log, so that the disk is not filled with them.
OPTIONS = {"fsync": "off", "min_wal_size": "32MB", "max_wal_size": "64MB"}


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own below a folder; skip where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        umount = ["umount", "--lazy", str(folder)]
        subprocess.run(umount, check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill a disk."""
    file = disk / "something_else"
    try:
        with file.open("wb", buffering=0) as filling:
            try:
                while True:
                    filling.write(bytes(65_536))
            except OSError:
                pass
        yield
    finally:
        file.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def whole_server(disk: Path, tmp_path: Path) -> PostgresServer:
    del tmp_path
    return PostgresServer(disk / "postgres", options=OPTIONS)


def write_ahead_log(disk: Path, tmp_path: Path) -> PostgresServer:
    """Only the write-ahead log is on the small disk. Without room for it Postgres ends itself."""
    server = PostgresServer(tmp_path / "postgres", options=OPTIONS)
    with server:
        pass
    folder = server.data_dir / "cluster" / "pg_wal"
    shutil.move(folder, disk / "pg_wal")
    folder.symlink_to(disk / "pg_wal")
    return server


type Put = Callable[[Path, Path], PostgresServer]


@pytest.mark.only_for("root", "linux")
@pytest.mark.verify
@pytest.mark.parametrize("put", [whole_server, write_ahead_log])
async def test_the_disk_of_postgres_is_full(
    disk: Path, tmp_path: Path, signing_key: str, put: Put, report: Report
) -> None:
    def failure(platform: Platform, crowd: Crowd) -> None:
        before = crowd.told.unavailable, crowd.told.unrecorded
        with full(disk):
            _until_away(platform)
            time.sleep(10.0)
            assert (crowd.told.unavailable, crowd.told.unrecorded) == before
        if not platform.postgres.running:
            # Whoever looks after it starts it again.
            platform.postgres.kill()
            platform.postgres.start()
            report("Postgres had ended itself")

    with put(disk, tmp_path) as postgres, RedisServer(tmp_path / "redis") as redis:
        migrations.upgrade(postgres.dsn)
        with running_platform(tmp_path, redis, postgres, signing_key) as platform:
            platform.mend()
            await survives(platform, 10_000, failure, report)


def _until_away(platform: Platform) -> None:
    deadline = time.monotonic() + 60.0
    while any(service.degraded() != ["postgres"] for service in platform.services):
        assert time.monotonic() < deadline
        time.sleep(0.1)
