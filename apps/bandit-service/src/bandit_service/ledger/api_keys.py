"""The API keys in Postgres; only their hashes are there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from bandit_service.domain.api_key import ApiKey, Principal, Role
from bandit_service.ledger.pool import Pool, connected, statement


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as a list shows it."""

    id: str
    name: str
    role: Role
    namespace: str
    created_at: datetime
    revoked_at: datetime | None


class ApiKeysRepository:
    """The keys. Every method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def active(self) -> list[ApiKey]:
        """Return every key that is not revoked."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("active_api_keys"))
            return [
                ApiKey(key_id, bytes(digest), Principal(name, role, namespace, key_id))
                for key_id, digest, name, role, namespace in await cursor.fetchall()
            ]

    async def all(self) -> list[KeyRecord]:
        """Return every key there ever was, the oldest first."""
        async with connected(self._pool) as connection, connection.cursor(row_factory=class_row(KeyRecord)) as cursor:
            await cursor.execute(statement("api_keys"))
            return await cursor.fetchall()

    async def add(self, key: ApiKey) -> None:
        principal = key.principal
        parameters = {
            "id": key.id,
            "digest": key.digest,
            "name": principal.name,
            "role": principal.role,
            "namespace": principal.namespace,
        }
        async with connected(self._pool) as connection:
            await connection.execute(statement("insert_api_key"), parameters)

    async def revoke(self, key_id: str) -> bool:
        """Make a key invalid from the next refresh on; return False if there is no such valid key."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("revoke_api_key"), {"id": key_id})
            return cursor.rowcount == 1
