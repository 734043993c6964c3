"""Real servers for the tests of the pipeline: S3, Postgres, Redis, the service, and an MLflow store."""

import itertools
from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from bandit_local.servers import S3Server
from bandit_local.servers.s3 import ACCESS_KEY, SECRET_KEY
from bandit_pipeline.resources import Bucket

_numbers = itertools.count(1)

type Execute = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """An empty bucket."""
    name = f"test-{next(_numbers)}"
    s3_server.create_bucket(name)
    return Bucket(endpoint=s3_server.url, name=name, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
