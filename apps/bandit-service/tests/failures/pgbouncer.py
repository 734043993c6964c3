"""PgBouncer in transaction mode, as it is packaged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from bandit_local.servers.local_server import HOST, LocalServer
from bandit_local.testing.tools import Tools


class PgBouncer(LocalServer):
    """A pooler in front of whatever Postgres its address leads to. `dsn` is of that Postgres, for user and password.

    Everything that is not in `options` is as PgBouncer has it unless told otherwise.
    """

    name = "PgBouncer"
    as_nobody = os.geteuid() == 0

    def __init__(self, data_dir: Path, dsn: str, address: int, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir, None, options)
        self._parts = urlsplit(dsn)
        self._address = address

    @property
    def _pid_file(self) -> Path:
        return self.data_dir / "pgbouncer.pid"

    @property
    def _settings_file(self) -> Path:
        return self.data_dir / "pgbouncer.ini"

    def _prepare(self) -> None:
        users = self.data_dir / "users.txt"
        users.write_text(f'"{self._parts.username}" "{self._parts.password}"\n')
        self._users = users

    def _command(self, port: int) -> list[str | Path]:
        settings = {
            "listen_addr": HOST,
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(self._users),
            "pool_mode": "transaction",
            "pidfile": str(self._pid_file),
            **self._options,
        }
        lines = ["[databases]", f"* = host={HOST} port={self._address}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        self._settings_file.write_text("\n".join(lines) + "\n")
        program = Tools.of(Path.cwd())["pgbouncer"].find()
        assert program is not None
        return [program, self._settings_file]

    def _answers(self, port: int) -> bool:
        dsn = self._parts._replace(netloc=f"{self._parts.netloc.rpartition(':')[0]}:{port}").geturl()
        try:
            psycopg.connect(dsn, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True
