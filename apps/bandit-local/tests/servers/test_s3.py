from collections.abc import Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from bandit_local.servers import S3Server, ServerError
from bandit_local.servers.folder import command_line
from bandit_local.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


def connect(server: S3Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


def test_objects_are_stored_and_listed_until_it_ends(s3_server: S3Server) -> None:
    s3_server.create_bucket("bandit")
    s3_server.create_bucket("bandit")
    connect(s3_server).put_object(Bucket="bandit", Key="raw/a.csv", Body=b"1")
    assert [each["Key"] for each in connect(s3_server).list_objects_v2(Bucket="bandit")["Contents"]] == ["raw/a.csv"]
    address, pid = s3_server.url, s3_server.pid
    s3_server.restart()
    assert not command_line(pid)
    assert s3_server.url == address
    assert connect(s3_server).list_buckets()["Buckets"] == []


def test_an_orphan_is_recognised_by_its_folder(s3_server: S3Server) -> None:
    assert f"{s3_server.data_dir}/" in command_line(s3_server.pid)
    assert int((s3_server.data_dir / "s3.pid").read_text()) == s3_server.pid


def test_a_bucket_it_refuses_is_an_error_that_names_it(s3_server: S3Server) -> None:
    with pytest.raises(ServerError, match="did not create the bucket 'x'"):
        s3_server.create_bucket("x")
