"""Who is calling, and what they may do."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterable, Mapping
from typing import Protocol

import structlog

from bandit_service.domain.api_key import ANONYMOUS, ApiKey, Principal, digest, key_id
from bandit_service.domain.problems import Unauthorized, Unavailable
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError

_LONGEST_KEY = 200
log = structlog.get_logger(__name__)


class ApiKeySource(Protocol):
    """Where the keys are kept for good."""

    async def active(self) -> list[ApiKey]:
        """Return every key that is not revoked; raise PostgresUnavailableError while Postgres is away."""
        ...


class ApiKeyMirror(Protocol):
    """A copy of the keys for processes that start while Postgres is away."""

    async def load(self) -> list[ApiKey] | None:
        """Return the keys, or None if none were ever stored; raise StoreUnavailableError while the store is away."""
        ...

    async def replace(self, keys: Iterable[ApiKey]) -> None:
        """Make these the only keys; raise StoreUnavailableError while the store is away."""
        ...


class KeyRing:
    """The API keys in memory. While their source is away the last known ones stay valid."""

    def __init__(self, source: ApiKeySource, mirror: ApiKeyMirror, *, required: bool) -> None:
        self._source = source
        self._mirror = mirror
        self._required = required
        self._keys: dict[str, ApiKey] | None = None

    def principal(self, headers: Mapping[str, str]) -> Principal:
        """Return who is calling, from `Authorization: Bearer` or `X-Api-Key`.

        Args:
            headers: Their names in lower case, or looked up regardless of case.

        Raises:
            Unauthorized: no key, or none that is valid.
            Unavailable: no keys could be loaded yet.
        """
        if not self._required:
            return ANONYMOUS
        key = _key_in(headers)
        if self._keys is None:
            raise Unavailable("API keys cannot be checked yet", retry_after=1)
        known = self._keys.get(key_id(key))
        if known is None or not hmac.compare_digest(known.digest, digest(key)):
            raise Unauthorized("the API key is not valid")
        return known.principal

    async def refresh(self) -> None:
        """Take the keys as they are now, and pass them on to the mirror; on failure keep those there are."""
        try:
            keys = await self._source.active()
        except PostgresUnavailableError as error:
            log.warning("api_keys_not_refreshed", reason=str(error))
            await self._fall_back()
            return
        self._take(keys)
        try:
            await self._mirror.replace(keys)
        except (StoreUnavailableError, StoreFullError) as error:
            log.warning("api_keys_not_mirrored", reason=str(error))

    async def keep_fresh(self, every: float) -> None:
        """Refresh for ever, each `every` seconds; every second until keys were loaded at all."""
        while True:
            try:
                await self.refresh()
            except Exception:
                # A loop that ended would let revoked keys in for as long as the process lives.
                log.exception("api_keys_refresh_failed")
            await asyncio.sleep(every if self._keys is not None else 1.0)

    async def _fall_back(self) -> None:
        if self._keys is not None:
            return
        try:
            keys = await self._mirror.load()
        except StoreUnavailableError as error:
            log.warning("api_keys_not_loaded", reason=str(error))
            return
        if keys is not None:
            self._take(keys)

    def _take(self, keys: Iterable[ApiKey]) -> None:
        self._keys = {key.id: key for key in keys}


def _key_in(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    if not key:
        raise Unauthorized("an API key is needed: send it as Authorization: Bearer KEY or X-Api-Key: KEY")
    if len(key) > _LONGEST_KEY:
        raise Unauthorized("the API key is not valid")
    return key
