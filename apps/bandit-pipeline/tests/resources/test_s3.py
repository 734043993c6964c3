"""What is said when S3 cannot be used: the setting that is wrong, and never a secret."""

import polars as pl
import pytest

from bandit_local.servers.local_server import free_port
from bandit_pipeline.errors import PipelineError
from bandit_pipeline.resources import Bucket

ENDPOINT = "http://127.0.0.1:9"


@pytest.fixture
def no_usual_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which boto3 finds no credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")


@pytest.mark.usefixtures("no_usual_keys")
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"access_key": "", "secret_key": ""}, "S3 needs two keys: set BANDIT_S3_ACCESS_KEY and BANDIT_S3_SECRET_KEY"),
        ({"secret_key": ""}, "S3 needs two keys"),
        ({"access_key": ""}, "S3 needs two keys"),
        ({"name": "a b"}, "'a b' is no name of a bucket; see BANDIT_S3_BUCKET"),
        ({"name": ""}, "'' is no name of a bucket"),
        ({"region": "eu west"}, "'eu west' is no region; see BANDIT_S3_REGION"),
        ({"endpoint": "127.0.0.1:9000"}, "127.0.0.1:9000 is no http or https URL; see BANDIT_S3_ENDPOINT"),
        ({"endpoint": "ftp://storage"}, "ftp://storage is no http or https URL"),
        ({"endpoint": "http://user:hidden@127.0.0.1:9"}, "S3 does not answer at http://127.0.0.1:9 "),
        ({}, "S3 does not answer at http://127.0.0.1:9 "),
    ],
)
def test_the_setting_that_is_wrong_is_named(setting: dict[str, str], said: str) -> None:
    usable = {"endpoint": ENDPOINT, "name": "bandit", "access_key": "key", "secret_key": "hidden"}
    with pytest.raises(PipelineError) as refused:
        Bucket(**{**usable, **setting}).get("object")
    assert str(refused.value).startswith(said)
    assert "hidden" not in str(refused.value)


def test_a_missing_bucket_is_told_from_a_missing_object(bucket: Bucket) -> None:
    missing = Bucket(**bucket.model_dump() | {"name": "nowhere"})
    for read in (Bucket.get, Bucket.digest, Bucket.listing):
        with pytest.raises(PipelineError, match="the bucket 'nowhere' does not exist"):
            read(missing, "object")
    for read in (Bucket.get, Bucket.digest):
        with pytest.raises(PipelineError, match="object is not there; materialize"):
            read(bucket, "object")
    for holder, said in ((missing, "the bucket 'nowhere'"), (bucket, "is not there")):
        with pytest.raises(PipelineError, match=said), holder.downloaded("object"):
            pass


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "it is empty"), (b"PAR1 and no more", "is no such Parquet file"), (b"a,b\n", "is no such")],
)
def test_what_is_no_parquet_is_named(bucket: Bucket, content: bytes, said: str) -> None:
    bucket.put("table.parquet", content)
    with pytest.raises(PipelineError, match=said):
        bucket.get_frame("table.parquet")


def test_a_parquet_file_that_lacks_a_column_is_named(bucket: Bucket) -> None:
    bucket.put_frame("table.parquet", pl.DataFrame({"a": [1]}))
    with pytest.raises(PipelineError, match=r"table\.parquet is no such Parquet file .*b"):
        bucket.get_frame("table.parquet", ["a", "b"])


def test_an_unreachable_port_is_no_wrong_key() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(PipelineError, match=f"S3 does not answer at {endpoint}"):
        Bucket(endpoint=endpoint, access_key="key", secret_key="secret").put("object", b"")


def request_of(**fields: str) -> str:
    """Return the URL of a signed request."""
    bucket = Bucket(**{"endpoint": "http://storage.test", "access_key": "key", "secret_key": "word"} | fields)
    with bucket._explained("x") as client:
        url: str = client.generate_presigned_url("get_object", Params={"Bucket": "bandit", "Key": "x"})
    return url


def test_line_breaks_of_files_are_left_out(bucket: Bucket) -> None:
    written = {name: f"{value}\n" for name, value in bucket.model_dump().items() if value}
    Bucket(**written).put("broken", b"lines")
    assert bucket.get("broken") == b"lines"


def test_temporary_keys_come_with_their_token() -> None:
    assert "token" not in request_of()
    assert "security-token=a-token" in request_of(session_token="a-token\n").lower()


def test_a_bucket_may_be_part_of_the_hosts_name() -> None:
    assert request_of().startswith("http://storage.test/bandit/x?")
    assert request_of(addressing_style="virtual").startswith("http://bandit.storage.test/x?")
    with pytest.raises(PipelineError, match="BANDIT_S3_ADDRESSING_STYLE must be one of path, virtual, auto"):
        request_of(addressing_style="host")


def test_loopback_is_asked_without_a_proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    bucket.put("object", b"content")
    assert bucket.get("object") == b"content"
