"""What a store says of itself, for those who look an installation over."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from redis.retry import Retry as SyncRetry

from bandit_service.mirror.errors import StoreUnavailableError
from bandit_service.mirror.scripts import script

_SECONDS = 5.0
_VERSION_FIELDS = {"Dragonfly": "dragonfly_version", "Valkey": "valkey_version", "Redis": "redis_version"}


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What the store says of itself. None: it does not say. `may_ask`: whether its user may run INFO."""

    server: str | None
    version: str | None
    redis_version: str | None
    role: str | None
    policy: str | None
    memory_limit: int
    memory_used: int
    append_only: bool | None
    last_write_ok: bool
    clock_ahead: float | None
    refused_scripts: tuple[str, ...]
    may_ask: bool = True


def never_works(url: str) -> str | None:
    """Ask a store whether it has the database, and its certificate is accepted; return why it never works.

    A store that does not answer may do so later.
    """
    client = SyncRedis.from_url(
        url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS, retry=SyncRetry(NoBackoff(), 0)
    )
    with client:
        try:
            client.ping()
        except ResponseError as error:
            return "Redis has no database of that number" if "index" in str(error).lower() else None
        except (RedisError, OSError) as error:
            return _why_untrusted(error.__context__)
    return None


def _why_untrusted(error: BaseException | None) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of Redis is not accepted ({error.verify_message}); see ssl_ca_certs"
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "Redis does not speak TLS at this port; see rediss://"
    return None


async def inspect_store(url: str) -> StoreFacts:
    """Ask a store about itself.

    Raises:
        StoreUnavailableError: it does not answer, with the reason in words.
    """
    client = Redis.from_url(
        url,
        socket_timeout=_SECONDS,
        socket_connect_timeout=_SECONDS,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        info = await _info(client)
        return _facts(info, await _clock_ahead(client), await _refused_scripts(client))
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailableError(str(error) or type(error).__name__) from error
    finally:
        await client.aclose()


async def _info(client: Redis) -> dict[str, Any] | None:
    try:
        return cast("dict[str, Any]", await cast("Any", client.info()))
    except NoPermissionError:
        return None


async def _clock_ahead(client: Redis) -> float | None:
    asked = time.time()
    try:
        seconds, micros = await client.time()
    except NoPermissionError:
        return None
    return float(seconds + micros / 1e6 - (asked + time.time()) / 2)


def _facts(told: dict[str, Any] | None, clock_ahead: float | None, refused_scripts: tuple[str, ...]) -> StoreFacts:
    info = told or {}
    # Dragonfly and Valkey also claim a Redis version: that of the commands they take.
    versions = {name: str(info[field]) for name, field in _VERSION_FIELDS.items() if field in info}
    server, version = next(iter(versions.items()), (None, None))
    written = [info.get(field, "ok") for field in ("aof_last_write_status", "rdb_last_bgsave_status")]
    return StoreFacts(
        server=server,
        version=version and version.removeprefix("df-v"),
        redis_version=str(info["redis_version"]) if "redis_version" in info else None,
        role=info.get("role"),
        policy="cache_mode" if info.get("cache_mode") == "cache" else info.get("maxmemory_policy"),
        memory_limit=int(info.get("maxmemory", 0)),
        memory_used=int(info.get("used_memory", 0)),
        append_only=bool(int(info["aof_enabled"])) if "aof_enabled" in info else None,
        last_write_ok=all(status == "ok" for status in written),
        clock_ahead=clock_ahead,
        refused_scripts=refused_scripts,
        may_ask=told is not None,
    )


async def _refused_scripts(client: Redis) -> tuple[str, ...]:
    """Return the scripts that the store cannot compile."""
    folder = files("bandit_service.mirror.scripts")
    names = sorted(file.name.removesuffix(".lua") for file in folder.iterdir() if file.name.endswith(".lua"))
    refused = []
    for name in names:
        try:
            await cast("Any", client.script_load(script(name).source))
        except ResponseError:
            refused.append(name)
    return tuple(refused)
