"""An S3 server of one's own: moto's server, which keeps objects in memory and forgets them when it ends."""

import sys
from pathlib import Path

import httpx

from bandit_local.servers.local_server import HOST, LocalServer
from bandit_local.servers.process import ChildProcess, ServerError

REGION = "us-east-1"
ACCESS_KEY = "local"
SECRET_KEY = "not-checked"  # noqa: S105 - moto checks no signature; it listens on loopback only
REQUEST_TIMEOUT = 5.0


class S3Server(LocalServer):
    """S3 on loopback for any key. Its folder holds a log only: after a restart every bucket has to be made again."""

    name = "S3"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def create_bucket(self, name: str) -> None:
        """Create a bucket; one that is there already stays as it is."""
        answer = httpx.put(f"{self.url}/{name}", timeout=REQUEST_TIMEOUT, trust_env=False)
        if not answer.is_success:
            raise ServerError(f"{self.name} did not create the bucket {name!r}: {answer.status_code} {answer.text}")

    @property
    def _pid_file(self) -> Path:
        return self.data_dir / "s3.pid"

    def _prepare(self) -> None:
        """Nothing outlives an earlier start."""

    def _command(self, port: int) -> list[str | Path]:
        # Python takes any -X option: this one puts the folder into the process list, which is how an orphan is known.
        return [
            sys.executable,
            "-X",
            f"bandit_folder={self.data_dir}/",
            "-m",
            "moto.server",
            "-H",
            HOST,
            "-p",
            str(port),
        ]

    def _spawn(self, port: int) -> ChildProcess:
        child = super()._spawn(port)
        self._pid_file.write_text(f"{child.pid}\n")
        return child

    def _answers(self, port: int) -> bool:
        try:
            return httpx.get(f"http://{HOST}:{port}/moto-api/", timeout=1.0, trust_env=False).is_success
        except httpx.TransportError:
            return False
