"""Whether a store takes batches, for those who look an installation over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from bandit_service.spool.stream import STREAMS, ClusterError, refuse_cluster

_SECONDS: Final = 5.0
_SCRATCH: Final = "bandit:doctor"


@dataclass(frozen=True, slots=True)
class SpoolFacts:
    """Why an entry cannot be appended to a stream, None if it can, and which processes may have one."""

    refusal: str | None
    names: tuple[str, ...]
    is_cluster: bool = False


async def inspect_spool(url: str) -> SpoolFacts:
    """Append an entry to a stream that is deleted again, and ask which streams there are."""
    client = Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS, retry=Retry(NoBackoff(), 0))
    try:
        await refuse_cluster(client)
        await client.xadd(_SCRATCH, {"probe": ""}, maxlen=1, approximate=False)
        await client.delete(_SCRATCH)
        members = await cast("Any", client.smembers(STREAMS))
        return SpoolFacts(None, tuple(sorted(member.decode() for member in members)))
    except ClusterError as error:
        return SpoolFacts(str(error), (), is_cluster=True)
    except (RedisError, OSError, TimeoutError) as error:
        return SpoolFacts(str(error) or type(error).__name__, ())
    finally:
        await client.aclose()
