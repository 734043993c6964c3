"""What Valkey and Postgres have in common: a folder, a free port, readiness by connecting, an orderly end."""

import secrets
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from bandit_local.servers.folder import ServerFolder
from bandit_local.servers.process import ChildProcess, ServerError

HOST = "127.0.0.1"
START_TIMEOUT = 60.0
PORT_ATTEMPTS = 5
# Above the ports of well-known services, below those that operating systems give to clients.
_LOWEST_PORT, _PORTS = 10_240, 22_000


def free_port() -> int:
    """Return a loopback port that was free a moment ago, and that no client is given meanwhile."""
    while not port_is_free(port := _LOWEST_PORT + secrets.randbelow(_PORTS)):
        continue
    return port


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class LocalServer(ABC):
    """A server on loopback whose whole state is one folder. Use it as a context manager, or start and stop it.

    Once started it keeps its port and password, so clients find it again after ``kill`` and ``start``. ``options`` are
    settings in the server's own configuration language and override the ones chosen here.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    as_nobody: bool = False

    def __init__(self, data_dir: Path, port: int | None = None, options: Mapping[str, str] | None = None) -> None:
        self._folder = ServerFolder(data_dir)
        self._port = port
        self._options = dict(options or {})
        self._child: ChildProcess | None = None

    @property
    def data_dir(self) -> Path:
        return self._folder.path

    @property
    def port(self) -> int:
        if self._port is None:
            raise ServerError(f"{self.name} has no port before its first start.")
        return self._port

    @property
    def pid(self) -> int:
        if self._child is None:
            raise ServerError(f"{self.name} is not running.")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self) -> None:
        """Start and wait until it answers; ServerError says in one sentence why it does not."""
        if self._child is not None:
            raise ServerError(f"{self.name} was already started.")
        self._folder.acquire()
        try:
            self._folder.stop_orphan(self._pid_file, self.stop_signal)
            self._prepare()
            self._launch()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask it to write everything down and finish; wait for that."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        self._folder.release()

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        self._folder.release()

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _launch(self) -> None:
        """Start the process; another one may take a free port first, then try the next."""
        for _ in range(PORT_ATTEMPTS):
            port = self._port or free_port()
            if self._become_ready(port):
                self._port = port
                return
            if self._port is not None:
                break
        raise ServerError(f"{self.name} finds no free port: {port} is taken by another program.")

    def _become_ready(self, port: int) -> bool:
        """Wait until the server answers; False when it ended because another program has the port."""
        if not port_is_free(port):
            return False
        self._child = child = self._spawn(port)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers(port):
            if not child.running:
                if not port_is_free(port):
                    return False
                if not self._may_try_again(child.log_tail()):
                    raise ServerError(f"{self.name} did not start: {child.last_words()}")
                self._child = child = self._spawn(port)
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} did not answer within {START_TIMEOUT:g} s; see {child.log}.")
            time.sleep(0.02)
        return True

    def _spawn(self, port: int) -> ChildProcess:
        return ChildProcess(
            self._command(port),
            self.data_dir / f"{self.name.lower()}.log",
            stop_signal=self.stop_signal,
            as_nobody=self.as_nobody,
        )

    def _may_try_again(self, log: str) -> bool:  # noqa: ARG002 - for servers that know a passing reason
        """Return whether a start that failed like this is worth repeating."""
        return False

    @property
    @abstractmethod
    def _pid_file(self) -> Path: ...

    @abstractmethod
    def _prepare(self) -> None:
        """Make the folder ready for a start; called with the folder locked and no server in it."""

    @abstractmethod
    def _command(self, port: int) -> list[str | Path]: ...

    @abstractmethod
    def _answers(self, port: int) -> bool:
        """Return whether this server (its password proves it) accepts commands on ``port``."""
