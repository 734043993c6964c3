"""API keys in Postgres: hashes only, revoked but never forgotten."""

import secrets
from collections.abc import AsyncIterator

import psycopg
import pytest

from bandit_service.domain.api_key import new_key
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.pool import make_pool


@pytest.fixture
async def keys(postgres_dsn: str) -> AsyncIterator[ApiKeysRepository]:
    async with make_pool(postgres_dsn) as pool:
        yield ApiKeysRepository(pool)


async def test_a_key_comes_back_as_it_was_added(keys: ApiKeysRepository) -> None:
    _, key = new_key("checkout", "writer", "shop", secrets.token_bytes)
    await keys.add(key)
    assert await keys.active() == [key]


async def test_the_key_itself_is_nowhere_in_the_database(keys: ApiKeysRepository, postgres_dsn: str) -> None:
    text, key = new_key("checkout", "writer", "shop", secrets.token_bytes)
    await keys.add(key)
    with psycopg.connect(postgres_dsn) as connection:
        [(row,)] = connection.execute("SELECT api_keys::text FROM api_keys").fetchall()
    assert key.id in row
    assert text.rpartition("_")[2] not in row


async def test_a_revoked_key_is_listed_but_no_longer_active(keys: ApiKeysRepository) -> None:
    _, kept = new_key("kept", "reader", "*", secrets.token_bytes)
    _, revoked = new_key("revoked", "admin", "*", secrets.token_bytes)
    await keys.add(kept)
    await keys.add(revoked)
    assert await keys.revoke(revoked.id)
    assert await keys.active() == [kept]
    assert {key.name: key.revoked_at is None for key in await keys.all()} == {"kept": True, "revoked": False}


async def test_a_key_is_revoked_once(keys: ApiKeysRepository) -> None:
    _, key = new_key("checkout", "writer", "shop", secrets.token_bytes)
    await keys.add(key)
    assert await keys.revoke(key.id)
    assert not await keys.revoke(key.id)
    assert not await keys.revoke("unknown")
