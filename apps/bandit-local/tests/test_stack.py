import base64
import stat
from pathlib import Path

import pytest

from bandit_local.errors import LocalError
from bandit_local.servers import PostgresServer, RedisServer
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.stack import check_postgres, check_redis, signing_key


def test_the_signing_key_is_random_private_and_stays(tmp_path: Path) -> None:
    key = signing_key(tmp_path / "secrets")
    name, _, secret = key.partition(":")
    assert name == "k1"
    assert len(base64.b64decode(secret, validate=True)) == 32
    assert signing_key(tmp_path / "secrets") == key
    assert signing_key(tmp_path / "others") != key
    file = next((tmp_path / "secrets").iterdir())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_servers_that_answer_are_named_without_their_password(
    redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    assert check_redis(redis_server.url) == f"{HOST}:{redis_server.port}"
    assert check_postgres(postgres_server.dsn) == f"{HOST}:{postgres_server.port}"


def test_a_wrong_password_is_one_line(redis_server: RedisServer, postgres_server: PostgresServer) -> None:
    with pytest.raises(LocalError, match=r"Redis does not answer: .*password") as failure:
        check_redis(f"redis://:wrong@{HOST}:{redis_server.port}")
    assert "\n" not in str(failure.value)
    with pytest.raises(LocalError, match=r"Postgres does not answer: .*password") as failure:
        check_postgres(f"postgresql://bandit:wrong@{HOST}:{postgres_server.port}/bandit")
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:6379", "nonsense"])
def test_a_url_that_is_none_of_redis_is_one_line(url: str) -> None:
    with pytest.raises(LocalError, match="must be a URL such as redis://") as failure:
        check_redis(url)
    assert "\n" not in str(failure.value)


def test_a_string_that_is_none_of_postgres_is_one_line() -> None:
    with pytest.raises(LocalError, match="must be a connection string such as postgresql://") as failure:
        check_postgres("nonsense")
    assert "\n" not in str(failure.value)


def test_a_redis_that_is_not_there_is_one_line() -> None:
    with pytest.raises(LocalError, match="Redis does not answer: ") as failure:
        check_redis(f"redis://{HOST}:{free_port()}")
    assert "\n" not in str(failure.value)


def test_a_postgres_that_is_not_there_is_one_line() -> None:
    with pytest.raises(LocalError, match="Postgres does not answer: ") as failure:
        check_postgres(f"postgresql://{HOST}:{free_port()}/bandit")
    assert "\n" not in str(failure.value)
