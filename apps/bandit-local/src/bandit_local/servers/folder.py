"""The folder of one server: at most one living owner, and no server left over from an owner that was killed."""

import contextlib
import fcntl
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from bandit_local.servers.process import ServerError

ORPHAN_TIMEOUT = 30.0


def command_line(pid: int) -> str:
    """Return the command line of a process, empty for one that has ended (or is a zombie)."""
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    return subprocess.run(  # noqa: S603 - fixed program, a number as its only variable
        ["/bin/ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout


def read_pid(file: Path) -> int | None:
    """Return the number on the first line of a pid file; None when there is no file or no number."""
    try:
        return int(file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def private_secret(file: Path, make: Callable[[], str]) -> str:
    """Return the secret kept in ``file`` (0600), made on first use."""
    if not file.exists():
        draft = file.with_name(f"{file.name}.new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as new:
            new.write(make())
        draft.replace(file)  # a secret that was cut short would never be made again
    return file.read_text()


class ServerFolder:
    """A private folder, locked while its server is in use; the lock ends with its holder, however that one ends."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def acquire(self) -> None:
        """Create the folder (0700) if need be and take its lock; ServerError while another living process has it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self.path / "owner.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ServerError(f"{self.path} is in use by another process; stop that one first.") from None
        self._lock = lock

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def stop_orphan(self, pid_file: Path, stop_signal: signal.Signals) -> None:
        """Stop the server a killed owner left behind. A pid is believed only if that process names this folder."""
        pid = read_pid(pid_file)
        if pid is None or not command_line(pid):
            return
        if not self._is_ours(pid):
            pid_file.unlink(missing_ok=True)  # the number now belongs to another process
            return
        os.kill(pid, stop_signal)
        deadline = time.monotonic() + ORPHAN_TIMEOUT
        while self._is_ours(pid):
            if time.monotonic() > deadline:
                raise ServerError(f"Process {pid}, left over in {self.path}, does not stop; stop it by hand.")
            time.sleep(0.05)

    def _is_ours(self, pid: int) -> bool:
        return f"{self.path}{os.sep}" in command_line(pid)

    def password(self) -> str:
        """Return the random password of this folder's server."""
        return private_secret(self.path / "password", lambda: secrets.token_hex(24))
