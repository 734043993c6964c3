"""Who is calling, and what they may do."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog

from bandit_core.rules.problems import Unauthorized, Unavailable
from bandit_service.domain.api_key import ANONYMOUS, ApiKey, Principal, digest, key_id
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError

# Guessed keys make Postgres answer no more often than this.
_LOOKS_EVERY = 1.0
log = structlog.get_logger(__name__)


class UnknownKeyError(Unauthorized):
    """A key of the right form that is not in memory: it may be new."""


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

    def __init__(
        self, source: ApiKeySource, mirror: ApiKeyMirror, *, required: bool, monotonic: Callable[[], float]
    ) -> None:
        self._source = source
        self._mirror = mirror
        self._required = required
        self._monotonic = monotonic
        self._keys: dict[str, ApiKey] | None = None
        self._looking = asyncio.Lock()
        self._looks = 0
        self._looked_at = float("-inf")

    async def caller(self, headers: Mapping[str, str]) -> Principal:
        """Return who is calling, as `principal` does. A key that is not known is looked for in the source first.

        Raises:
            Unauthorized, Unavailable: as there.
        """
        try:
            return self.principal(headers)
        except UnknownKeyError:
            await self._reload_unknown()
            return self.principal(headers)

    def principal(self, headers: Mapping[str, str]) -> Principal:
        """Return who is calling, from `Authorization: Bearer` or `X-Api-Key`.

        Args:
            headers: Their names in lower case, or looked up regardless of case.

        Raises:
            Unauthorized: no key, or none that is valid; UnknownKeyError if it may be a new one.
            Unavailable: no keys could be loaded yet.
        """
        if not self._required:
            return ANONYMOUS
        key = _key_in(headers)
        if self._keys is None:
            raise Unavailable("API keys cannot be checked yet", retry_after=1)
        known_as = key_id(key)
        if known_as is None:
            raise Unauthorized("the API key is not valid")
        known = self._keys.get(known_as)
        if known is None:
            raise UnknownKeyError("the API key is not valid")
        if not hmac.compare_digest(known.digest, digest(key)):
            raise Unauthorized("the API key is not valid")
        return known.principal

    async def _reload_unknown(self) -> None:
        """Refresh; callers that wait at the same time share a refresh."""
        looks = self._looks
        async with self._looking:
            if self._looks > looks:
                return
            await asyncio.sleep(max(0.0, self._looked_at + _LOOKS_EVERY - self._monotonic()))
            await self.refresh()
            self._looked_at = self._monotonic()
            self._looks += 1

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
        """Refresh each `every` seconds; every second until keys were loaded at all."""
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
    return key
