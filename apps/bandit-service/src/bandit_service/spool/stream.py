"""One process's stream of batches, and the streams of processes that have ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from itertools import batched
from typing import Any, Final, cast

import msgspec
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from bandit_service.domain.event import Batch, decode_batch, encode_batch
from bandit_service.spool.pending import place

STREAMS: Final = "bandit:spools"
_BATCH: Final = b"b"
_OPENED: Final = b"o"
_PAGE: Final = 100
_PROBE_KEPT: Final = 3_600


class SpoolUnavailableError(Exception):
    """The store could not be reached, did not answer in time, or refused the command."""


class ClusterError(SpoolUnavailableError):
    """The store is one node of several, and has only some of the keys. This service knows one server, not several."""


class StreamLostError(Exception):
    """The stream is not there any more: the store lost its data, or another process has taken the stream over."""


def stream_key(name: str) -> str:
    """Return the key of a process's stream. The braces keep it and its renamed form in one slot of a cluster."""
    return f"bandit:spool:{{{name}}}"


def probe_key(name: str) -> str:
    """Return where a process appends to see that it can, and whether what it appended before is still there."""
    return f"{stream_key(name)}:probe"


def taken_key(name: str) -> str:
    """Return what the stream of a process that has ended is renamed to while its batches are written."""
    return f"{stream_key(name)}:taken"


class Streams:
    """The streams. Every method raises SpoolUnavailableError while the store is away."""

    def __init__(self, url: str, *, timeout: float) -> None:
        self._redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
        # By name, the entry of the last probe that was answered.
        self._probed: dict[str, str] = {}

    async def close(self) -> None:
        await self._redis.aclose()

    async def create(self, name: str) -> None:
        """Begin the stream of a process that the ledger knows. Its name comes first, so that it is found if need be.

        Raises:
            ClusterError: the store is a cluster's.
        """
        with _translated():
            await refuse_cluster(self._redis)
            await cast("Any", self._redis.sadd(STREAMS, name))
            await self._redis.xadd(stream_key(name), {_OPENED: b""})

    async def append(self, name: str, batch: Batch) -> str:
        """Append a batch and return the id of its entry.

        Raises:
            StreamLostError: there is no such stream any more.
        """
        with _translated():
            entry = await self._redis.xadd(stream_key(name), {_BATCH: encode_batch(batch)}, nomkstream=True)
        if entry is None:
            raise StreamLostError(name)
        return cast("bytes", entry).decode()

    async def append_all(self, name: str, batches: Sequence[Batch]) -> list[str]:
        """Append batches and return the ids of their entries.

        Raises:
            StreamLostError: there is no such stream any more.
        """
        with _translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                for batch in batches:
                    pipe.xadd(stream_key(name), {_BATCH: encode_batch(batch)}, nomkstream=True)
                entries: list[bytes | None] = await pipe.execute()
        if None in entries:
            raise StreamLostError(name)
        return [cast("bytes", entry).decode() for entry in entries]

    async def replace(self, name: str, batches: Sequence[Batch]) -> None:
        """Append batches, and drop what was in the stream before them.

        Raises:
            StreamLostError: there is no such stream any more.
        """
        first: str | None = None
        for some in batched(batches, _PAGE):
            entries = await self.append_all(name, some)
            first = first or entries[0]
        if first is not None:
            await self.trim(name, first)

    async def trim(self, name: str, first: str) -> None:
        """Drop the entries before one."""
        with _translated():
            await self._redis.xtrim(stream_key(name), minid=first, approximate=False)

    async def names(self) -> list[str]:
        """Return the names of all processes that may have a stream."""
        with _translated():
            members = await cast("Any", self._redis.smembers(STREAMS))
        return sorted(member.decode() for member in members)

    async def take(self, name: str) -> None:
        """Rename the stream of a process that has ended, so that the process can append nothing more if it wakes up."""
        with _translated():
            try:
                await self._redis.renamenx(stream_key(name), taken_key(name))
            except ResponseError:
                # There was none, or another process has just taken it.
                if await self._redis.exists(stream_key(name)):
                    raise

    async def taken(self, name: str) -> AsyncIterator[list[Batch | bytes]]:
        """Yield the batches of a stream that was taken, oldest first; what cannot be read as one, as it is."""
        start = "-"
        while True:
            with _translated():
                entries = await self._redis.xrange(taken_key(name), min=start, count=_PAGE)
            if not entries:
                return
            yield [_decoded(fields[_BATCH]) for _, fields in cast("Any", entries) if _BATCH in fields]
            start = f"({cast('Any', entries)[-1][0].decode()}"

    async def forget(self, name: str) -> None:
        """Delete a process's own stream, whose every batch is in the ledger."""
        with _translated():
            await self._redis.delete(stream_key(name), probe_key(name))
            await cast("Any", self._redis.srem(STREAMS, name))

    async def forget_taken(self, name: str) -> bool:
        """Delete a stream that was taken, whose every batch is in the ledger; return whether nothing else is left."""
        with _translated():
            await self._redis.delete(taken_key(name), probe_key(name))
            if await self._redis.exists(stream_key(name)):
                # Two took it over, or the process was frozen just before it began its stream.
                return False
            await cast("Any", self._redis.srem(STREAMS, name))
            return True

    async def probe(self, name: str) -> None:
        """Do what the service needs of the store: append an entry.

        Raises:
            StreamLostError: the process's stream is not there any more, or the store has gone back to an earlier state.
        """
        key, before = probe_key(name), self._probed.get(name)
        with _translated():
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.xrange(key, count=1)
                pipeline.xadd(key, {_OPENED: b""}, maxlen=1, approximate=False)
                pipeline.expire(key, _PROBE_KEPT)
                pipeline.exists(stream_key(name))
                last, entry, _, is_there = await pipeline.execute()
        # Ids of a stream rise, whatever the server's clock does.
        has_gone_back = before is not None and (not last or place(last[0][0].decode()) < place(before))
        if has_gone_back or self._probed.get(name) == before:
            # Of two probes at once the later one may be answered first.
            self._probed = {name: entry.decode()}
        if has_gone_back or not is_there:
            raise StreamLostError(name)


class OwnStream:
    """The stream of one registered name."""

    def __init__(self, streams: Streams, name: str) -> None:
        self._streams = streams
        self.name = name

    async def append(self, batch: Batch) -> str:
        return await self._streams.append(self.name, batch)

    async def probe(self) -> None:
        await self._streams.probe(self.name)


async def refuse_cluster(client: redis.asyncio.Redis) -> None:
    """Raise ClusterError if other nodes have some of the keys. A cluster of one node is like any other server."""
    try:
        info: dict[str, Any] = await cast("Any", client).execute_command("CLUSTER INFO")
    except ResponseError:
        # It is no cluster, or it does not say.
        return
    if int(info["cluster_size"]) > 1:
        raise ClusterError(f"it is one of {info['cluster_size']} nodes of a cluster")


def _decoded(data: bytes) -> Batch | bytes:
    try:
        return decode_batch(data)
    except msgspec.MsgspecError:
        return data


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise SpoolUnavailableError(type(error).__name__) from error
