import contextlib
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from bandit_local.servers import PostgresServer, ServerError
from bandit_local.servers.folder import command_line
from bandit_local.servers.local_server import HOST
from bandit_local.servers.process import ChildProcess

type StartPython = Callable[..., ChildProcess]
type Eventually = Callable[[Callable[[], object]], None]

FAST = {"fsync": "off"}
OWNER = """
import sys, time, psycopg
from pathlib import Path
from bandit_local.servers import PostgresServer
with PostgresServer(Path(sys.argv[1]), options={"fsync": "off"}) as server:
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE arms (id text)")
    print(server.pid)
    time.sleep(600)
"""


def ask(dsn: str, question: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(question).fetchall()


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)


def test_it_is_postgres_18_on_loopback_only_with_unicode_and_the_c_locale(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.dsn
    assert str(ask(dsn, "SHOW server_version")[0][0]).startswith("18.")
    assert ask(dsn, "SHOW listen_addresses") == [(HOST,)]
    assert ask(dsn, "SHOW unix_socket_directories") == [("",)]
    assert ask(dsn, "SELECT encoding, datcollate FROM pg_database WHERE datname = 'bandit'") == [(6, "C")]


def test_it_asks_for_its_password(postgres_server: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=HOST, port=postgres_server.port, user="bandit", dbname="bandit", password="wrong")


def test_its_folder_and_password_are_private(postgres_server: PostgresServer) -> None:
    assert stat.S_IMODE(postgres_server.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((postgres_server.data_dir / "password").stat().st_mode) == 0o600


def test_data_survives_an_orderly_restart_and_a_crash(postgres_server: PostgresServer) -> None:
    execute(postgres_server.dsn, "CREATE TABLE arms (id text)")
    execute(postgres_server.dsn, "INSERT INTO arms VALUES ('a')")
    postgres_server.restart()
    execute(postgres_server.dsn, "INSERT INTO arms VALUES ('b')")
    postgres_server.kill()
    postgres_server.start()
    assert ask(postgres_server.dsn, "SELECT id FROM arms ORDER BY id") == [("a",), ("b",)]


def test_it_starts_again_at_once_while_sessions_of_a_killed_server_are_still_ending(
    postgres_server: PostgresServer,
) -> None:
    with contextlib.closing(psycopg.connect(postgres_server.dsn)) as session:
        session.execute("SELECT 1")
        postgres_server.kill()
        postgres_server.start()
        assert ask(postgres_server.dsn, "SELECT 1") == [(1,)]


def test_databases_are_created_from_a_template_and_dropped(postgres_server: PostgresServer) -> None:
    template = postgres_server.create_database("template_of_tests")
    execute(template, "CREATE TABLE arms (id text)")
    copy = postgres_server.create_database("copy", template="template_of_tests")
    assert ask(copy, "SELECT count(*) FROM arms") == [(0,)]
    with psycopg.connect(copy):
        postgres_server.drop_database("copy")
    postgres_server.drop_database("copy")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        ask(copy, "SELECT 1")


def test_options_override_the_defaults(tmp_path: Path) -> None:
    with PostgresServer(tmp_path / "postgres", options={**FAST, "max_connections": "17"}) as server:
        assert ask(server.dsn, "SHOW max_connections") == [("17",)]
        assert ask(server.dsn, "SHOW fsync") == [("off",)]


def test_a_stale_pid_that_belongs_to_somebody_else_does_not_prevent_a_start(
    postgres_server: PostgresServer, start_python: StartPython, eventually: Eventually
) -> None:
    stranger = start_python("import time; print('up'); time.sleep(600)")
    eventually(stranger.log_tail)
    pid_file = postgres_server.data_dir / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    postgres_server.kill()
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))
    postgres_server.start()
    assert ask(postgres_server.dsn, "SELECT 1") == [(1,)]
    assert stranger.running


def test_the_next_start_works_after_the_owner_was_killed(
    tmp_path: Path, start_python: StartPython, eventually: Eventually
) -> None:
    owner = start_python(OWNER, str(tmp_path / "postgres"))
    eventually(owner.log_tail)
    orphan = int(owner.log_tail())
    owner.kill()
    with PostgresServer(tmp_path / "postgres", options=FAST) as server:
        assert ask(server.dsn, "SELECT count(*) FROM arms") == [(0,)]
        assert server.pid != orphan
        assert not command_line(orphan)


def test_an_interrupted_first_start_leaves_nothing_half_done(tmp_path: Path) -> None:
    draft = tmp_path / "postgres" / "cluster.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    with PostgresServer(tmp_path / "postgres", options=FAST) as server:
        assert ask(server.dsn, "SELECT 1") == [(1,)]
    assert not draft.exists()


def test_a_lost_password_is_said_at_once(postgres_server: PostgresServer) -> None:
    postgres_server.stop()
    (postgres_server.data_dir / "password").unlink()
    with pytest.raises(ServerError, match=r"password .* is lost"):
        postgres_server.start()


START = """
import sys
from pathlib import Path
from bandit_local.servers import PostgresServer
with PostgresServer(Path(sys.argv[1]), options={"fsync": "off"}) as server:
    print(server.running)
"""


def start_in_a_namespace(options: list[str], setup: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["unshare", "--user", *options, "sh", "-c", f'{setup} exec "$@"', "sh"]
    return subprocess.run(
        [*command, sys.executable, "-c", START, str(folder)], capture_output=True, text=True, check=False
    )


@pytest.mark.needs("unshare")
@pytest.mark.only_for("linux", "root")  # an ordinary user's run is the other tests
def test_an_ordinary_user_needs_no_user_namespace(tmp_path: Path) -> None:
    check = "test $(id -u) = 65534 &&"
    result = start_in_a_namespace(["--map-user=65534", "--map-group=65534"], check, tmp_path / "postgres")
    assert result.stdout == "True\n", result.stderr


@pytest.mark.needs("unshare")
@pytest.mark.only_for("linux", "root")  # who else needs no user namespace
def test_a_kernel_that_forbids_user_namespaces_is_one_sentence(tmp_path: Path) -> None:
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces &&"
    result = start_in_a_namespace(["--map-root-user"], forbid, tmp_path / "postgres")
    assert "run as an ordinary user, or pass --postgres-dsn" in result.stderr.splitlines()[-1]


def test_a_failed_start_says_why_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"Postgres did not start: .*no_such_option") as failure:
        PostgresServer(tmp_path / "postgres", options={**FAST, "no_such_option": "1"}).start()
    assert "\n" not in str(failure.value)
