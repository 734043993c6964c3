import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bandit_local.servers.folder import ServerFolder, private_secret, read_pid
from bandit_local.servers.process import ChildProcess, ServerError

type StartPython = Callable[..., ChildProcess]
type Eventually = Callable[[Callable[[], object]], None]

SLEEP = "import time; print('up'); time.sleep(600)"


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    first, second = ServerFolder(tmp_path / "redis"), ServerFolder(tmp_path / "redis")
    first.acquire()
    with pytest.raises(ServerError, match="in use by another process"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_folder_is_private(tmp_path: Path) -> None:
    folder = ServerFolder(tmp_path / "deep" / "redis")
    folder.acquire()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.release()


def test_an_orphan_that_names_the_folder_is_stopped(
    tmp_path: Path, start_python: StartPython, eventually: Eventually
) -> None:
    folder = ServerFolder(tmp_path / "redis")
    folder.acquire()
    orphan = start_python(SLEEP, f"{folder.path}/redis.conf")
    eventually(orphan.log_tail)
    pid_file = folder.path / "pid"
    pid_file.write_text(f"{orphan.pid}\n")
    folder.stop_orphan(pid_file, signal.SIGTERM)
    eventually(lambda: orphan.exit_code is not None)  # a process has lost its command line before it has ended
    assert orphan.exit_code == -signal.SIGTERM
    folder.release()


@pytest.mark.parametrize("neighbour", ["redis-2/redis.conf", "somewhere/else"])
def test_a_stale_pid_that_now_belongs_to_somebody_else_is_forgotten(
    tmp_path: Path, start_python: StartPython, eventually: Eventually, neighbour: str
) -> None:
    folder = ServerFolder(tmp_path / "redis")
    folder.acquire()
    stranger = start_python(SLEEP, str(tmp_path / neighbour))
    eventually(stranger.log_tail)
    pid_file = folder.path / "pid"
    pid_file.write_text(f"{stranger.pid}\nmore lines\n")
    folder.stop_orphan(pid_file, signal.SIGTERM)
    assert stranger.running
    assert not pid_file.exists()
    folder.release()


@pytest.mark.parametrize("content", ["", "not a number\n"])
def test_an_unreadable_pid_file_names_nobody(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pid"
    file.write_text(content)
    assert read_pid(file) is None
    assert read_pid(tmp_path / "missing") is None


def test_a_secret_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    previous = os.umask(0)
    try:
        assert private_secret(file, lambda: "first") == "first"
    finally:
        os.umask(previous)
    assert private_secret(file, lambda: "second") == "first"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
