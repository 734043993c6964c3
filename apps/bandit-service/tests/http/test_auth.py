"""Who is calling is known from memory; keys are refreshed from Postgres and survive its absence."""

import asyncio
import secrets
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from starlette.datastructures import Headers

from bandit_core.rules.problems import Unauthorized, Unavailable
from bandit_service.domain.api_key import ANONYMOUS, ApiKey, Principal, Role, new_key
from bandit_service.http.auth import KeyRing
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.mirror.api_keys import MirroredApiKeys
from bandit_service.mirror.connection import make_redis

AWAY = "postgresql://nobody@127.0.0.1:1/nothing"
AWAY_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def keys(pool: Pool) -> ApiKeysRepository:
    return ApiKeysRepository(pool)


@pytest.fixture
def mirror(redis_client: Redis) -> MirroredApiKeys:
    return MirroredApiKeys(redis_client)


@pytest.fixture
def ring(keys: ApiKeysRepository, mirror: MirroredApiKeys) -> KeyRing:
    return KeyRing(keys, mirror, required=True, monotonic=time.monotonic)


async def added(keys: ApiKeysRepository, role: Role = "writer", namespace: str = "*") -> tuple[str, str]:
    """Return the text and the id of a new key."""
    text, key = new_key("checkout", role, namespace, secrets.token_bytes)
    await keys.add(key)
    return text, key.id


def bearer(key: str) -> Headers:
    return Headers({"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize(
    "headers", [{"authorization": "Bearer {}"}, {"Authorization": "bearer  {}"}, {"X-Api-Key": "{}"}]
)
async def test_a_key_is_taken_from_either_header(
    headers: dict[str, str], ring: KeyRing, keys: ApiKeysRepository
) -> None:
    text, _ = await added(keys, "reader", "shop")
    await ring.refresh()
    sent = Headers({name: value.format(text) for name, value in headers.items()})
    assert ring.principal(sent) == Principal("checkout", "reader", "shop")


async def test_a_key_beside_another_scheme_counts(ring: KeyRing, keys: ApiKeysRepository) -> None:
    """A proxy in front may use Authorization for its own purposes."""
    text, _ = await added(keys)
    await ring.refresh()
    sent = Headers({"Authorization": "Basic dXNlcjpwYXNz", "X-Api-Key": text})
    assert ring.principal(sent).name == "checkout"


async def test_no_key_and_wrong_keys_are_refused(ring: KeyRing, keys: ApiKeysRepository) -> None:
    text, name = await added(keys)
    other, _ = new_key("stranger", "admin", "*", secrets.token_bytes)
    await ring.refresh()
    for wrong in (other, text[:-1], text + "x", f"bandit_{name}_", name, "", "ß", "x" * 100_000):
        with pytest.raises(Unauthorized):
            ring.principal(bearer(wrong))
    with pytest.raises(Unauthorized, match="needed"):
        ring.principal(Headers())


@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(st.characters(max_codepoint=255)))
async def test_whatever_a_header_holds_the_answer_is_unauthorized(name: str, value: str, ring: KeyRing) -> None:
    await ring.refresh()
    with pytest.raises(Unauthorized):
        ring.principal({name: value})


async def test_without_authentication_everybody_is_an_anonymous_admin(
    keys: ApiKeysRepository, mirror: MirroredApiKeys
) -> None:
    assert KeyRing(keys, mirror, required=False, monotonic=time.monotonic).principal(Headers()) is ANONYMOUS
    assert ANONYMOUS.role == "admin"


async def test_a_revoked_key_is_invalid_from_the_next_refresh_on(ring: KeyRing, keys: ApiKeysRepository) -> None:
    text, name = await added(keys)
    await ring.refresh()
    assert await keys.revoke(name)
    assert ring.principal(bearer(text)).name == "checkout"
    await ring.refresh()
    with pytest.raises(Unauthorized):
        ring.principal(bearer(text))


async def test_known_keys_stay_valid_while_postgres_is_away(ring: KeyRing, keys: ApiKeysRepository, pool: Pool) -> None:
    text, _ = await added(keys)
    await ring.refresh()
    await pool.close()
    await ring.refresh()
    assert ring.principal(bearer(text)).name == "checkout"


async def test_a_new_process_takes_the_keys_from_the_mirror_while_postgres_is_away(
    ring: KeyRing, keys: ApiKeysRepository, mirror: MirroredApiKeys
) -> None:
    text, _ = await added(keys, "reader", "shop")
    await ring.refresh()
    async with make_pool(AWAY) as away:
        newcomer = KeyRing(ApiKeysRepository(away), mirror, required=True, monotonic=time.monotonic)
        await newcomer.refresh()
    assert newcomer.principal(bearer(text)) == Principal("checkout", "reader", "shop")


async def test_the_mirror_forgets_revoked_keys_and_knows_that_there_are_none(
    ring: KeyRing, keys: ApiKeysRepository, mirror: MirroredApiKeys
) -> None:
    assert await mirror.load() is None
    _, name = await added(keys)
    await ring.refresh()
    assert [key.id for key in await mirror.load() or []] == [name]
    await keys.revoke(name)
    await ring.refresh()
    assert await mirror.load() == []


async def test_a_process_that_never_had_keys_says_so_instead_of_refusing_them(mirror: MirroredApiKeys) -> None:
    """401 would tell a client with a valid key that it is not."""
    async with make_pool(AWAY) as away:
        ring = KeyRing(ApiKeysRepository(away), mirror, required=True, monotonic=time.monotonic)
        await ring.refresh()
    with pytest.raises(Unavailable):
        ring.principal(bearer("bandit_1_2"))


async def test_keys_are_valid_while_only_the_mirror_is_away(keys: ApiKeysRepository) -> None:
    text, _ = await added(keys)
    async with make_redis(AWAY_REDIS, timeout=0.2) as away:
        ring = KeyRing(keys, MirroredApiKeys(away), required=True, monotonic=time.monotonic)
        await ring.refresh()
    assert ring.principal(bearer(text)).name == "checkout"


async def test_keys_are_refreshed_again_and_again(ring: KeyRing, keys: ApiKeysRepository) -> None:
    refreshing = asyncio.create_task(ring.keep_fresh(0.02))
    for _ in range(3):
        text, _ = await added(keys)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if is_valid(ring, text):
                break
        assert is_valid(ring, text)
    refreshing.cancel()


def is_valid(ring: KeyRing, text: str) -> bool:
    try:
        ring.principal(bearer(text))
    except (Unauthorized, Unavailable):
        return False
    return True


async def test_a_key_that_was_just_made_is_valid_at_once(ring: KeyRing, keys: ApiKeysRepository) -> None:
    await ring.refresh()
    text, _ = await added(keys)
    assert (await ring.caller(bearer(text))).name == "checkout"


async def test_guesses_do_not_keep_postgres_busy(keys: ApiKeysRepository, mirror: MirroredApiKeys) -> None:
    looks = 0

    class Counted(ApiKeysRepository):
        async def active(self) -> list[ApiKey]:
            nonlocal looks
            looks += 1
            return await keys.active()

    async with make_pool(AWAY) as unused:
        ring = KeyRing(Counted(unused), mirror, required=True, monotonic=time.monotonic)
        guesses = [new_key("guess", "admin", "*", secrets.token_bytes)[0] for _ in range(50)]
        await ring.refresh()
        answers = await asyncio.gather(*[ring.caller(bearer(each)) for each in guesses], return_exceptions=True)
        for text in ("no-key", guesses[0][:-1], guesses[0] + "="):
            with pytest.raises(Unauthorized):
                await ring.caller(bearer(text))
    assert all(isinstance(each, Unauthorized) for each in answers)
    # At the start, and once for all the guesses: what cannot be a key is not looked for.
    assert looks == 2
