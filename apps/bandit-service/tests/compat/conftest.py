"""One replica that needs keys, as a process of its own, for the clients of both doors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from banditdb import Client

from bandit_local.servers import RedisServer
from bandit_service.domain.api_key import Role

if TYPE_CHECKING:
    from conftest import AddKey, Serve, SettingsOn

NAMESPACE = "sleepers"
ROLES: tuple[Role, ...] = ("reader", "writer", "admin")


@dataclass(frozen=True)
class Served:
    """A service, a key of each role in one namespace, and the folder where that has its exports."""

    url: str
    keys: dict[Role, str]
    exports: Path

    def client(self, role: Role = "admin") -> Client:
        """Return BanditDB's public client as it comes; it is told the URL and a key."""
        return Client(f"{self.url}/banditdb", api_key=self.keys[role], timeout=30.0)


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, settings_on: SettingsOn, serve: Serve, add_key: AddKey
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("exports")
    redis_server = RedisServer(tmp_path_factory.mktemp("doors-redis"), options={"appendonly": "no"})
    with redis_server, settings_on(redis_server) as settings:
        dsn = settings.postgres_dsn.get_secret_value()
        keys: dict[Role, str] = {role: asyncio.run(add_key(dsn, role, NAMESPACE)) for role in ROLES}
        with serve(settings.model_copy(update={"auth_required": True, "export_dir": folder})) as url:
            yield Served(url, keys, folder / NAMESPACE)
