"""A child process that writes to a log file, dies with its parent and does not hear the terminal's Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bandit_local.errors import LocalError

LAUNCHER = Path(__file__).with_name("launcher.py")
LOG_TAIL = 2_000


class ServerError(LocalError):
    """A server could not be started or stopped."""


class ChildProcess:
    """Start ``command`` at once; ``stop_signal`` is what asks it to finish, and what it gets when this process dies."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        as_nobody: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._stop_signal = stop_signal
        # The kernel takes the death of the starting *thread* for the death of the parent. So one thread is kept for it,
        # which lives as long as this object, whichever thread happens to call.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="child-starter")
        self._process = self._starter.submit(self._spawn, command, environment, as_nobody=as_nobody).result()

    def _spawn(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None, *, as_nobody: bool
    ) -> subprocess.Popen[bytes]:
        prelude = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(self._stop_signal))]
        with self.log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own commands, no shell
                [*prelude, "nobody" if as_nobody else "self", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if environment is None else {**os.environ, **environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        """Wait for the end and return the exit code; ServerError after ``timeout`` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ServerError(f"Process {self.pid} did not finish within {timeout:g} s; see {self.log}.") from None

    def stop(self, timeout: float = 30.0) -> int:
        """Ask it to finish and wait; after ``timeout`` seconds make it."""
        if self.running:
            self._process.send_signal(self._stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.kill()

    def kill(self) -> int:
        """End it at once (SIGKILL) and return its exit code."""
        self._process.kill()
        exit_code = self._process.wait()
        self._starter.shutdown(wait=False)
        return exit_code

    def log_tail(self) -> str:
        """Return the last of what this process, not an earlier one, wrote to the log."""
        with self.log.open("rb") as log:
            log.seek(max(self._log_start, self.log.stat().st_size - LOG_TAIL))
            return log.read().decode(errors="replace")

    def last_words(self) -> str:
        """Return the last line it wrote, for an error message of one line."""
        lines = [line.strip() for line in self.log_tail().splitlines() if line.strip()]
        return lines[-1] if lines else "it wrote nothing"
