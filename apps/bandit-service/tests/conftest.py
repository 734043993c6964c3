"""Real servers for every test: one Redis a session, and an empty database each a test."""

import asyncio
import base64
import itertools
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis
import structlog
from pydantic import SecretStr
from redis.asyncio import Redis

from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_local.servers import RedisServer
from bandit_local.servers.local_server import free_port
from bandit_local.servers.process import ChildProcess
from bandit_local.testing.servers import EMPTY, MIGRATED, NewDatabase
from bandit_service.domain.api_key import Role, new_key
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.publication import Mirror
from bandit_service.settings import Settings

# On a busy machine an answer may take seconds. Only tests of outages set shorter timeouts.
_REDIS_TIMEOUT, _POSTGRES_TIMEOUT = 3.0, 5.0
# What clients call a replica that runs in the test's process.
IN_PROCESS = "service"
_experiment_numbers = itertools.count(1)

StartService = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
StartApi = Callable[..., AbstractAsyncContextManager["Api"]]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def empty_postgres_dsn(new_database: NewDatabase) -> Iterator[str]:
    """A Postgres database without any table."""
    with new_database(EMPTY) as dsn:
        yield dsn


@pytest.fixture
def postgres_dsn(new_database: NewDatabase) -> Iterator[str]:
    """A migrated, empty Postgres database."""
    with new_database(MIGRATED) as dsn:
        yield dsn


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[Redis]:
    """A client of the empty Redis, as the service has it."""
    client = make_redis(redis_url, timeout=2.0)
    yield client
    await client.aclose()


@pytest.fixture
def mirror(redis_client: Redis) -> Mirror:
    return Mirror(redis_client)


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=6) as pool:
        yield pool


NewExperiment = Callable[..., Awaitable[Experiment]]


@pytest.fixture
def new_experiment(pool: Pool) -> NewExperiment:
    """Return a function that stores an experiment of arms a and b: `await new_experiment("homepage", holdout=0.1)`."""

    async def create(experiment_id: str = "homepage", **fields: Any) -> Experiment:
        given: dict[str, Any] = {
            "id": experiment_id,
            "namespace": "default",
            "status": "running",
            "revision": 1,
            "arms": (ArmDefinition(0, "a"), ArmDefinition(1, "b", 3_000_000, 5_000_000)),
            "default_arm": "a",
            "created_at": time.time(),
        }
        experiment = Experiment(**given | fields)
        reason = Reason("test", "test", time.time())
        return await ExperimentsRepository(pool).create(experiment, reason, unit_salt=b"0" * 16)

    return create


@pytest.fixture(scope="session")
def signing_key() -> str:
    return f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"


@pytest.fixture
def settings(redis_url: str, postgres_dsn: str, signing_key: str) -> Settings:
    return new_settings(redis_url, postgres_dsn, signing_key)


def new_settings(redis_url: str, postgres_dsn: str, signing_key: str) -> Settings:
    return Settings(
        redis_url=SecretStr(redis_url),
        postgres_dsn=SecretStr(postgres_dsn),
        signing_keys=SecretStr(signing_key),
        host_names=IN_PROCESS,
        redis_timeout=_REDIS_TIMEOUT,
        postgres_timeout=_POSTGRES_TIMEOUT,
        log_level="warning",
    )


class Clock:
    """A clock that tests can move ahead of the real one."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    """Run a replica in this process."""
    from bandit_service.app import create_app

    app = create_app(settings, clock=clock, rng=np.random.default_rng(7))
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=f"http://{IN_PROCESS}") as client,
    ):
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start_service(settings: Settings, clock: Clock) -> StartService:
    """Return a function that runs a replica in this process: `async with start_service() as client`."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with running(settings.model_copy(update=changes), clock) as client:
            yield client

    return start


@pytest.fixture
async def client(start_service: StartService) -> AsyncIterator[httpx.AsyncClient]:
    """A replica that runs, with authentication off."""
    async with start_service() as client:
        yield client


class Api:
    """The service as a client sees it. An answer of another status than the one expected fails the test."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def post(self, path: str, body: object, status: int = 200) -> Any:
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return checked(await self.http.post(path, **content), status)

    async def get(self, path: str, status: int = 200) -> Any:
        return checked(await self.http.get(path), status)

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 8.0) -> None:
        """Wait for what the service does by itself."""
        deadline = time.monotonic() + seconds
        while not await holds():
            assert time.monotonic() < deadline, "it did not come about in time"
            await asyncio.sleep(0.02)

    async def create(self, *arms: str | dict[str, Any], **fields: Any) -> "LiveExperiment":
        """Create an experiment with arms a and b unless told otherwise, under a name of its own."""
        fields = {"experiment_id": f"experiment-{next(_experiment_numbers)}", "arms": arms or ("a", "b")} | fields
        await self.post("/experiments", fields, 201)
        return LiveExperiment(self, fields["experiment_id"])


@dataclass(frozen=True)
class LiveExperiment:
    """An experiment that runs."""

    api: Api
    id: str

    async def select(self, status: int = 200, **fields: Any) -> Any:
        return await self.api.post("/select", {"experiment_id": self.id, **fields}, status)

    async def select_many(self, number: int, **fields: Any) -> list[dict[str, Any]]:
        items = [{"experiment_id": self.id, **fields} for _ in range(number)]
        answer = await self.api.post("/select/batch", {"items": items})
        return [item["result"] for item in answer["items"]]

    async def reward(
        self, decision: dict[str, Any], reward: float | None = None, status: int = 200, **more: Any
    ) -> Any:
        """Report on a decision; name the experiment (as reporting on one's own ids needs it) in `more`."""
        body = {"decision_id": decision["decision_id"], "reward": reward, **more}
        return await self.api.post("/reward", body, status)

    async def report(self, arm: str, reward: float | None = None, status: int = 200, **more: Any) -> Any:
        """Report on an arm without a decision."""
        body = {"experiment_id": self.id, "arm": arm, "reward": reward, **more}
        return await self.api.post("/reward", body, status)

    async def change(self, action: str, status: int = 200, **fields: Any) -> Any:
        path = f"/experiments/{self.id}/{action}"
        return await self.api.post(path, {"reason": "a test", **fields}, status)

    async def patch(self, **fields: Any) -> Any:
        body = {"reason": "a test", **fields}
        return checked(await self.api.http.patch(f"/experiments/{self.id}", json=body), 200)

    async def archive(self) -> Any:
        return checked(await self.api.http.delete(f"/experiments/{self.id}"), 200)

    async def read(self, view: str) -> Any:
        """Read `posterior`, `allocation` or `conclusion`."""
        return await self.api.get(f"/experiments/{self.id}/{view}")

    async def arm(self, arm: str) -> dict[str, Any]:
        """Return what is believed of an arm."""
        found: dict[str, Any] = {each["arm"]: each for each in (await self.read("posterior"))["arms"]}[arm]
        return found

    async def added(self, arm: str) -> tuple[int, int]:
        """Return what data added to alpha and beta of an arm whose prior is Beta(1, 1), in millionths."""
        found = await self.arm(arm)
        return round(found["alpha"] * 1_000_000) - 1_000_000, round(found["beta"] * 1_000_000) - 1_000_000


def checked(response: httpx.Response, status: int) -> Any:
    """Return the body of an answer of that status; a problem must look like one."""
    assert response.status_code == status, response.text
    body = response.json()
    if status >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        assert body["status"] == status
    return body


@pytest.fixture(scope="session")
def api_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis beside the one that `redis_url` empties for each test."""
    with RedisServer(tmp_path_factory.mktemp("api-redis"), options={"appendonly": "no"}) as server:
        yield server


SettingsOn = Callable[[RedisServer], AbstractContextManager[Settings]]


@pytest.fixture(scope="session")
def settings_on(new_database: NewDatabase, signing_key: str) -> SettingsOn:
    """Return a function that gives settings for replicas on a Redis, which it empties, and a database of their own."""

    @contextmanager
    def on(redis_server: RedisServer) -> Iterator[Settings]:
        with redis.Redis.from_url(redis_server.url) as client:
            client.flushall()
        with new_database(MIGRATED) as dsn:
            yield new_settings(redis_server.url, dsn, signing_key)

    return on


@pytest.fixture(scope="module")
def module_settings(api_redis_server: RedisServer, settings_on: SettingsOn) -> Iterator[Settings]:
    """Settings for a replica that all tests of a module share."""
    with settings_on(api_redis_server) as settings:
        yield settings


RunReplica = Callable[[Settings], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="session")
def run_replica() -> RunReplica:
    """Return a function that runs a replica in this process, for tests with settings of their own."""
    return lambda settings: running(settings, Clock())


@pytest.fixture(scope="module")
async def api(module_settings: Settings) -> AsyncIterator[Api]:
    """A replica that all tests of a module share; each makes experiments of its own."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    async with running(module_settings, Clock()) as http:
        yield Api(http)
    structlog.configure(**before)


@pytest.fixture
def start_api(start_service: StartService) -> StartApi:
    """Return a function that runs a replica of one's own: `async with start_api() as api`."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[Api]:
        async with start_service(**changes) as http:
            yield Api(http)

    return start


Serve = Callable[[Settings], AbstractContextManager[str]]
SERVE = (sys.executable, "-c", "from bandit_service.cli import main; main()", "serve")


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Return a function that runs a replica as a process of its own: `with serve(settings) as url`."""

    @contextmanager
    def start(settings: Settings) -> Iterator[str]:
        environment = {
            "BANDIT_REDIS_URL": settings.redis_url.get_secret_value(),
            "BANDIT_POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
            "BANDIT_SIGNING_KEYS": settings.signing_keys.get_secret_value(),
            "BANDIT_LOG_LEVEL": settings.log_level,
            "BANDIT_REDIS_TIMEOUT": str(settings.redis_timeout),
            "BANDIT_POSTGRES_TIMEOUT": str(settings.postgres_timeout),
            "BANDIT_AUTH_REQUIRED": str(settings.authenticates),
            "BANDIT_KEEP_ALIVE": str(settings.keep_alive),
            "BANDIT_EXPORT_DIR": str(settings.export_dir),
            "BANDIT_CLIENT_TIMEOUT": str(settings.client_timeout),
            "BANDIT_MAX_CONNECTIONS": str(settings.max_connections),
            "BANDIT_PORT": str(free_port()),
        }
        process = ChildProcess(SERVE, tmp_path_factory.mktemp("service") / "log", environment=environment)
        try:
            url = f"http://127.0.0.1:{environment['BANDIT_PORT']}"
            _wait_until_ready(process, url)
            yield url
        finally:
            process.stop()

    return start


def _wait_until_ready(process: ChildProcess, url: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.running:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        time.sleep(0.05)
    pytest.fail(f"the service did not become ready: {process.log_tail()}")


NewApiKey = Callable[..., Awaitable[str]]


@pytest.fixture
def new_api_key(postgres_dsn: str) -> NewApiKey:
    """Return a function that makes an API key; a replica must be started after it."""

    async def make(role: Role = "writer", namespace: str = "*") -> str:
        return await added_key(postgres_dsn, role, namespace)

    return make


async def added_key(postgres_dsn: str, role: Role, namespace: str = "*") -> str:
    text, key = new_key("a test", role, namespace, secrets.token_bytes)
    async with make_pool(postgres_dsn) as pool:
        await ApiKeysRepository(pool).add(key)
    return text


AddKey = Callable[..., Coroutine[Any, Any, str]]


@pytest.fixture(scope="session")
def add_key() -> AddKey:
    """Return a function that makes an API key: `await add_key(dsn, role, namespace)`."""
    return added_key


@pytest.fixture(scope="module")
async def module_admin(module_settings: Settings) -> str:
    """An admin's API key for the replica that all tests of a module share."""
    return await added_key(module_settings.postgres_dsn.get_secret_value(), "admin")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path
