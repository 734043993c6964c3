"""What processes tell each other: which experiments changed, and which have new events. Messages may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import msgspec
import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from bandit_service.mirror.connection import translated
from bandit_service.mirror.keys import CHANGED, TOUCHED

_SILENT_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.5
log = structlog.get_logger(__name__)

type Told = Callable[[list[str]], Awaitable[None] | None]


class _Message(msgspec.Struct, array_like=True):
    sender: str
    experiment_ids: list[str]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode


class Subscription:
    """A connection of its own on which a process listens. What it misses, the sweeps of Postgres find.

    Args:
        url: Of the store.
        timeout: Seconds to wait for a connection, and for an answer.
        own: The sender whose messages are passed over: this process knows what it has changed.
    """

    def __init__(self, url: str, *, timeout: float, own: str | None = None) -> None:
        self._own = own
        self._redis = Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
        self._timeout = timeout
        self.is_listening = False

    async def run(self, on_changed: Told, on_touched: Told) -> None:
        """Listen until cancelled, and connect again after an outage."""
        handlers = {CHANGED.encode(): on_changed, TOUCHED.encode(): on_touched}
        while True:
            pubsub = self._redis.pubsub()
            try:
                await pubsub.subscribe(CHANGED, TOUCHED)
                await self._listen(pubsub, handlers)
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("not_listening", reason=type(error).__name__)
            finally:
                self.is_listening = False
                await _closed(pubsub)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _listen(self, pubsub: PubSub, handlers: dict[bytes, Told]) -> None:
        loop = asyncio.get_running_loop()
        heard = asked = loop.time()
        while True:
            message = await pubsub.get_message(timeout=_SILENT_SECONDS)
            now = loop.time()
            if message is not None:
                heard = now
                await self._handle(message, handlers)
            if now - max(heard, asked) >= _SILENT_SECONDS:
                # A link of which one half is gone stays silent, and a quiet store does not either: ask.
                if asked > heard:
                    raise TimeoutError
                await pubsub.ping()
                asked = now

    async def _handle(self, message: dict[str, Any], handlers: dict[bytes, Told]) -> None:
        if message["type"] == "subscribe":
            self.is_listening = True
        if message["type"] != "message":
            return
        try:
            told = _decode(message["data"])
        except msgspec.DecodeError:
            return
        if told.sender == self._own:
            return
        try:
            handling = handlers[message["channel"]](told.experiment_ids)
            if handling is not None:
                await handling
        except (RedisError, OSError, TimeoutError):
            log.warning("message_not_handled", channel=message["channel"].decode())
        except Exception:
            log.exception("message_not_handled", channel=message["channel"].decode())


class Announcer:
    """Tells every process of experiments, as a sender. Its methods may raise StoreUnavailableError."""

    def __init__(self, redis: Redis, sender: str = "") -> None:
        self._redis = redis
        self._sender = sender

    async def announce_changed(self, experiment_ids: Collection[str]) -> None:
        """Tell that definitions or weights have changed."""
        await self._publish(CHANGED, experiment_ids)

    async def announce_touched(self, experiment_ids: Collection[str]) -> None:
        """Tell that events were committed."""
        await self._publish(TOUCHED, experiment_ids)

    async def _publish(self, channel: str, experiment_ids: Collection[str]) -> None:
        if experiment_ids:
            with translated():
                await self._redis.publish(channel, _encode(_Message(self._sender, list(experiment_ids))))


async def _closed(pubsub: PubSub) -> None:
    try:
        await pubsub.aclose()  # type: ignore[no-untyped-call]
    except (RedisError, OSError, TimeoutError):
        return
