"""Real servers for the tests of the pipeline: S3, Postgres, Redis, the service, and an MLflow store."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bandit_local.options import Options
from bandit_local.servers import RedisServer, S3Server
from bandit_local.servers.local_server import free_port
from bandit_local.servers.s3 import ACCESS_KEY, SECRET_KEY
from bandit_local.stack import running_stack
from bandit_local.testing.servers import EMPTY, MIGRATED, NewDatabase
from bandit_pipeline.definitions import build
from bandit_pipeline.resources import BanditService, Bucket, Grafana, Postgres, Tracking
from bandit_pipeline.resources.postgres import fetch
from bandit_sdk.requests import RewardItem

READER = Path(__file__).parents[3] / "grafana" / "reader.sql"
_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Let MLflow use what its own dependencies are about to give up."""
    config.addinivalue_line("filterwarnings", "ignore:The ``noload`` loader strategy:DeprecationWarning")


type Execute = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """An empty bucket."""
    return new_bucket(s3_server)


def new_bucket(server: S3Server) -> Bucket:
    name = f"test-{next(_numbers)}"
    server.create_bucket(name)
    return Bucket(endpoint=server.url, name=name, access_key=ACCESS_KEY, secret_key=SECRET_KEY)


@pytest.fixture
def postgres(new_database: NewDatabase) -> Iterator[Postgres]:
    """A migrated, empty database that no service uses, as its owner sees it."""
    with new_database(MIGRATED) as dsn:
        yield Postgres(dsn=dsn)


@pytest.fixture
def reader(postgres: Postgres) -> Postgres:
    """The same database as the pipeline sees it."""
    return reader_of(postgres.dsn)


def reader_of(dsn: str) -> Postgres:
    """Let the role for readers in, and return the database under that role."""
    with psycopg.connect(dsn) as connection:
        connection.execute(READER.read_bytes())
    return Postgres(dsn=make_conninfo(dsn, options="-c role=bandit_reader"))


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """An MLflow store: making one takes seconds, so there is one for all tests."""
    folder = tmp_path_factory.mktemp("mlflow")
    return Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=(folder / "artifacts").as_uri())


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase
) -> Iterator[tuple[BanditService, Postgres]]:
    """A running bandit-service, and its database as the pipeline sees it."""
    data = tmp_path_factory.mktemp("stack")
    with RedisServer(data / "redis", options={"appendonly": "no"}) as redis, new_database(MIGRATED) as dsn:
        options = Options(port=free_port(), redis_url=redis.url, postgres_dsn=dsn, data=data)
        with running_stack(options) as running:
            yield BanditService(url=running.url), reader_of(dsn)


@pytest.fixture
def service(stack: tuple[BanditService, Postgres]) -> BanditService:
    return stack[0]


@pytest.fixture
def service_postgres(stack: tuple[BanditService, Postgres]) -> Postgres:
    return stack[1]


@pytest.fixture
def resources(
    bucket: Bucket, tracking: Tracking, stack: tuple[BanditService, Postgres]
) -> dict[str, dg.ConfigurableResource[Any]]:
    """Everything real; the bucket is empty."""
    service, postgres = stack
    return {"bucket": bucket, "postgres": postgres, "service": service, "tracking": tracking, "grafana": Grafana()}


@pytest.fixture
def execute(resources: dict[str, dg.ConfigurableResource[Any]], tmp_path: Path) -> Iterator[Execute]:
    """Run a job in this process: `execute("ingest_obp", partition_key, config, raise_on_error=…, bucket=…)`."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def run(
            job: str,
            partition_key: str | None = None,
            config: dict[str, Any] | None = None,
            *,
            raise_on_error: bool = True,
            **others: dg.ConfigurableResource[Any],
        ) -> dg.ExecuteInProcessResult:
            definitions = build({**resources, **others})
            ops = {name: {"config": values} for name, values in (config or {}).items()}
            return definitions.resolve_job_def(job).execute_in_process(
                run_config={"ops": ops}, partition_key=partition_key, instance=instance, raise_on_error=raise_on_error
            )

        yield run


@pytest.fixture
def new_experiment(service: BanditService) -> Callable[..., str]:
    """Create an experiment with two arms (or other settings) and return its id."""

    def create(**settings: Any) -> str:
        name = f"test-{next(_numbers)}"
        with service.client() as client:
            client.experiments.create(name, **{"arms": ["a", "b"], **settings})
        return name

    return create


@pytest.fixture
def visit(service: BanditService, service_postgres: Postgres) -> Callable[..., list[str]]:
    """Have so many decisions made, reward every third of them, wait until Postgres has it all, return their ids."""

    def visits(experiment_id: str, number: int, *, rewards: bool = True) -> list[str]:
        with service.client() as client:
            decided = client.select_batch([{"experiment_id": experiment_id}] * number)
            ids = [str(each.unwrap().decision_id) for each in decided]
            if rewards:
                send_rewards(service, service_postgres, ids)
        wait_for(service_postgres, ids, "decision")
        return ids

    return visits


@pytest.fixture
def reward(service: BanditService, service_postgres: Postgres) -> Callable[[list[str]], None]:
    """Reward every third of these decisions with 1, the others with 0, and wait until Postgres has it."""
    return lambda ids: send_rewards(service, service_postgres, ids)


def send_rewards(service: BanditService, postgres: Postgres, ids: list[str]) -> None:
    with service.client() as client:
        items: list[RewardItem] = [
            {"decision": name, "reward": float(number % 3 == 0)} for number, name in enumerate(ids)
        ]
        for item in client.reward_batch(items):
            item.unwrap()
    wait_for(postgres, ids, "reward")


def wait_for(postgres: Postgres, ids: list[str], kind: str) -> None:
    """Wait until Postgres has an event of that kind for each of these decisions."""
    query = "SELECT count(*) AS there FROM events_v1 WHERE decision_id = ANY(%(ids)s) AND kind = %(kind)s"
    deadline = time.monotonic() + 30.0
    there = 0
    while there < len(ids):
        assert time.monotonic() < deadline, f"Postgres got {there} of {len(ids)} events within 30 s"
        time.sleep(0.05)
        with postgres.transaction() as connection:
            there = fetch(connection, query, {"ids": ids, "kind": kind})[0]["there"]


@pytest.fixture
def empty_postgres(new_database: NewDatabase) -> Iterator[Postgres]:
    """A database without any table."""
    with new_database(EMPTY) as dsn:
        yield Postgres(dsn=dsn)
