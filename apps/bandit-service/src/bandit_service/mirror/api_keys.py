"""The API keys' copy in the store, for processes that start while Postgres is away. Only hashes are kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from redis.asyncio import Redis

from bandit_service.domain.api_key import ApiKey, Principal
from bandit_service.mirror.connection import translated
from bandit_service.mirror.keys import API_KEYS

# An empty hash does not exist: this field tells "no keys" from "never stored".
_PRESENT = ""


class MirroredApiKeys:
    """The keys as one hash, replaced as a whole."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def load(self) -> list[ApiKey] | None:
        """Return the keys, or None if none were ever stored."""
        with translated():
            fields: dict[bytes, bytes] = await cast("Any", self._redis.hgetall(API_KEYS))
        if not fields:
            return None
        return [_parse(name.decode(), value) for name, value in fields.items() if name.decode() != _PRESENT]

    async def replace(self, keys: Iterable[ApiKey]) -> None:
        """Make these the only keys."""
        fields = {_PRESENT: ""} | {key.id: _format(key) for key in keys}
        with translated():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(API_KEYS)
                pipe.hset(API_KEYS, mapping=cast("Any", fields))
                await pipe.execute()


def _format(key: ApiKey) -> str:
    principal = key.principal
    return json.dumps([key.digest.hex(), principal.name, principal.role, principal.namespace])


def _parse(name: str, value: bytes) -> ApiKey:
    digest, owner, role, namespace = json.loads(value)
    return ApiKey(name, bytes.fromhex(digest), Principal(owner, role, namespace, name))
