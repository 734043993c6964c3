"""A connection never comes back behind its user's back, and says whether the store may have been restarted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from bandit_local.servers import RedisServer
from bandit_service.redis_store.connection import PipelinedConnection
from bandit_service.redis_store.errors import StoreUnavailableError
from bandit_service.redis_store.scripts import script
from bandit_service.redis_store.store import RedisStore


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[PipelinedConnection]:
    connection = PipelinedConnection(redis_url, timeout=1.0, scripts=("commit", "trim"))
    yield connection
    await connection.close()


async def test_answers_come_in_order_and_an_error_is_one_of_them(connection: PipelinedConnection) -> None:
    await connection.open()
    first, error, last = await connection.execute([("SET", "a", 1), ("HGET", "a", "b"), ("GET", "a")])
    assert (first, last) == (b"OK", b"1")
    assert isinstance(error, ResponseError)


async def test_scripts_are_known_from_the_start_and_can_be_taught_again(connection: PipelinedConnection) -> None:
    await connection.open()
    shas = [script(name).sha for name in ("commit", "trim")]
    assert await connection.execute([("SCRIPT", "EXISTS", *shas)]) == [[1, 1]]
    await connection.execute([("SCRIPT", "FLUSH")])
    await connection.teach()
    assert await connection.execute([("SCRIPT", "EXISTS", *shas)]) == [[1, 1]]


async def test_without_being_opened_it_does_nothing(connection: PipelinedConnection, store: RedisStore) -> None:
    with pytest.raises(StoreUnavailableError):
        await connection.execute([("PING",)])
    await connection.open()
    await store.client.client_kill_filter(_type="normal", skipme=True)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await connection.execute([("PING",)])


async def test_the_same_server_again_is_the_same_store(connection: PipelinedConnection) -> None:
    assert [await connection.open(), await connection.open()] == [True, False]
    await connection.close()
    assert await connection.open() is False
    assert connection.generation == 1


async def test_a_server_that_was_restarted_is_another_store(tmp_path: Path, binary: Path | None) -> None:
    with RedisServer(tmp_path, binary=binary) as server:
        connection = PipelinedConnection(server.url, timeout=1.0)
        await connection.open()
        server.restart()
        with pytest.raises(StoreUnavailableError):
            await connection.execute([("PING",)])
        assert await connection.open() is True
        assert connection.generation == 2
        await connection.close()


async def test_a_server_that_is_a_replica_now_is_left(tmp_path: Path, binary: Path | None) -> None:
    with RedisServer(tmp_path, binary=binary) as server:
        connection = PipelinedConnection(server.url, timeout=1.0)
        await connection.open()
        await connection.execute([("REPLICAOF", "127.0.0.1", "1")])
        for command in (("SET", "a", 1), ("EVAL", "return redis.call('SET', KEYS[1], '1')", 1, "a")):
            await connection.open()
            with pytest.raises(StoreUnavailableError):
                await connection.execute([command])
        await connection.close()


async def test_an_unreachable_server_is_unavailable() -> None:
    connection = PipelinedConnection("redis://127.0.0.1:1", timeout=0.2)
    with pytest.raises(StoreUnavailableError):
        await connection.open()
