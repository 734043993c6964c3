"""A Postgres that follows another one, for tests of failovers."""

import shutil
import subprocess

from bandit_local.servers.postgres import PostgresServer, postgres_binary


class Standby(PostgresServer):
    """A server that follows another one until it is promoted."""

    def follow(self, primary: PostgresServer) -> None:
        """Copy the primary's data. `start` then begins to follow."""
        self.data_dir.mkdir(mode=0o700, parents=True)
        shutil.copy(primary.data_dir / "password", self.data_dir / "password")
        program = [postgres_binary("pg_basebackup"), "-D", self._cluster, "-R", "-X", "stream", "-c", "fast"]
        subprocess.run(  # noqa: S603 - our own command, no shell
            [*map(str, program), "-d", primary.database_dsn("postgres")], check=True, capture_output=True, timeout=60
        )

    def stop_following(self) -> None:
        """Freeze what it has: the primary goes on without it."""
        self._ask("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")

    def promote(self) -> None:
        self._ask("SELECT pg_promote()")

    def has_up_to(self, position: str) -> bool:
        [found] = self._ask("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", position=position)
        return bool(found)

    def _ask(self, *statements: str, position: str | None = None) -> tuple[object, ...]:
        answer: tuple[object, ...] = ()
        with self._connect(self.port) as connection:
            for each in statements:
                cursor = connection.execute(each.encode(), None if position is None else [position])
                answer = (cursor.fetchone() or ()) if cursor.description else ()
        return answer
