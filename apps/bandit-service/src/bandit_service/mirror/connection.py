"""Connections to the store, and its errors by the names that callers know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError

_CONNECTIONS: Final = 32


def make_redis(url: str, *, timeout: float) -> Redis:
    """Return a client whose answers are bytes; it connects when it is first used.

    Args:
        url: redis://, rediss:// or unix://
        timeout: Seconds to wait for a connection, and for an answer.
    """
    # More requests than connections wait for one: a burst is no outage.
    pool = BlockingConnectionPool.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        max_connections=_CONNECTIONS,
        timeout=timeout,
    )
    return Redis.from_pool(pool)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the client library's errors into StoreUnavailableError and StoreFullError."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        # Out of a script it comes as another kind of error.
        if "command not allowed when used memory > 'maxmemory'" in str(error):
            raise StoreFullError(str(error)) from error
        raise StoreUnavailableError(type(error).__name__) from error
