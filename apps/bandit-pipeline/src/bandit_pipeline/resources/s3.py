"""The bucket that raw data, the silver layer and exports live in."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any
from urllib.request import getproxies

import boto3  # type: ignore[import-untyped]
import dagster as dg
import httpx
import polars as pl
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    EndpointProviderError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as ConnectFailure
from polars.exceptions import PolarsError

from bandit_pipeline.errors import PipelineError
from bandit_sdk.connection import without_secrets
from bandit_sdk.proxies import needs_no_proxy

TIMEOUT = 10
ATTEMPTS = 3
_ABSENT = {"404", "NoSuchKey", "NotFound"}
_OTHER_REGION = {"301", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_STYLES = ("path", "virtual", "auto")
_PRINTABLE = re.compile(r"[!-~]*")
_WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"}


class Bucket(dg.ConfigurableResource["Bucket"]):
    """One S3 bucket. An empty `endpoint` is AWS itself; without keys boto3 looks for its usual credentials.

    Temporary keys come with a `session_token`. `addressing_style` is `path`, `virtual` (the bucket is part
    of the host's name) or `auto`.

    An object is there as a whole or not at all, so whatever is listed is complete. Every method raises PipelineError
    when S3 does not answer, refuses, or has no such bucket.
    """

    endpoint: str = ""
    region: str = "us-east-1"
    name: str = "bandit"
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""
    addressing_style: str = "path"

    @property
    def bucket(self) -> str:
        """The name of the bucket, without the line break at the end of a file."""
        return self.name.strip()

    def put(self, key: str, content: bytes) -> None:
        self.upload(key, BytesIO(content))

    def upload(self, key: str, stream: IO[bytes]) -> None:
        """Store what a stream holds, in parts if it is long."""
        with self._explained(key) as client:
            client.upload_fileobj(stream, self.bucket, key)

    def get(self, key: str) -> bytes:
        with self._explained(key) as client:
            content: bytes = client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            return content

    @contextmanager
    def downloaded(self, key: str) -> Iterator[Path]:
        """Lend an object as a file."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / key.rpartition("/")[2]
            with self._explained(key) as client:
                client.download_file(self.bucket, key, str(path))
            yield path

    def listing(self, prefix: str) -> list[str]:
        """List the objects whose keys begin with `prefix`, in the order of their keys."""
        with self._explained(prefix) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return sorted(each["Key"] for page in pages for each in page.get("Contents", []))

    def digest(self, key: str) -> str:
        """Return the entity tag, which changes when the content does."""
        with self._explained(key) as client:
            tag: str = client.head_object(Bucket=self.bucket, Key=key)["ETag"]
            return tag.strip('"')

    def put_frame(self, key: str, frame: pl.DataFrame) -> None:
        """Store a frame as Parquet."""
        buffer = BytesIO()
        frame.write_parquet(buffer)
        self.put(key, buffer.getvalue())

    def get_frame(self, key: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Read a Parquet object, only some of its columns if they are named; PipelineError if it has none of that."""
        content = self.get(key)
        try:
            return pl.read_parquet(content, columns=columns)
        except (PolarsError, OSError) as error:
            why = str(error).partition("\n")[0] if content else "it is empty"
            raise PipelineError(
                f"{self.uri(key)} is no such Parquet file ({why}); materialize its asset again."
            ) from error

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    @contextmanager
    def _explained(self, key: str) -> Iterator[Any]:
        try:
            client = self._client()
        except (BotoCoreError, ValueError) as error:
            raise PipelineError(self._why_unusable(error)) from self._cause(error)
        try:
            yield client
        except ClientError as error:
            raise PipelineError(self._why_refused(error, key, client)) from error
        except BotoCoreError as error:
            raise PipelineError(self._why_unusable(error)) from self._cause(error)

    def _cause(self, error: Exception) -> Exception | None:
        """Return an error to be shown as the cause, unless its text may hold what the endpoint's URL keeps secret."""
        return error if without_secrets(self.endpoint) == self.endpoint else None

    def _why_unusable(self, error: Exception) -> str:
        """Say what is wrong where S3 was not asked or did not answer, without what the endpoint's URL keeps secret."""
        where = without_secrets(self.endpoint) or "AWS"
        why = " ".join(str(error).replace(self.endpoint or where, where).split())
        match error:
            case NoCredentialsError() | PartialCredentialsError():
                return "S3 needs two keys: set BANDIT_S3_ACCESS_KEY and BANDIT_S3_SECRET_KEY."
            case ParamValidationError() if "bucket name" in why:
                return f"{self.bucket!r} is no name of a bucket; see BANDIT_S3_BUCKET."
            case InvalidRegionError():
                return f"{self.region!r} is no region; see BANDIT_S3_REGION."
            case EndpointProviderError() | ValueError():
                return f"{where} is no http or https URL; see BANDIT_S3_ENDPOINT."
            case SSLError():
                return f"the certificate of S3 at {where} is not accepted ({why}); see BANDIT_S3_ENDPOINT."
            case ConnectFailure() | HTTPClientError():
                return f"S3 does not answer at {where} ({why}); see BANDIT_S3_ENDPOINT."
        return f"S3 at {where} cannot be used ({why}); see BANDIT_S3_*."

    def _why_refused(self, error: ClientError, key: str, client: Any) -> str:  # noqa: ANN401
        code = error.response.get("Error", {}).get("Code", "")
        if code == "NoSuchBucket" or (code in _ABSENT and not self._has_bucket(client)):
            return f"the bucket {self.bucket!r} does not exist; create it, or name another with BANDIT_S3_BUCKET."
        if code in _ABSENT:
            return f"{self.uri(key)} is not there; materialize the asset that writes it."
        if code == "InvalidBucketName":
            return f"{self.bucket!r} is no name of a bucket; see BANDIT_S3_BUCKET."
        if code in _OTHER_REGION:
            return f"the bucket {self.bucket!r} is not in the region {self.region!r}; see BANDIT_S3_REGION."
        if code in _WRONG_KEYS:
            return (
                f"S3 does not know the keys ({code}); see BANDIT_S3_ACCESS_KEY and BANDIT_S3_SECRET_KEY, and for "
                "temporary keys BANDIT_S3_SESSION_TOKEN."
            )
        return f"S3 refuses {self.uri(key)}: {error}"

    def _has_bucket(self, client: Any) -> bool:  # noqa: ANN401
        """Say whether the bucket is there: an answer to HEAD has no body that tells it from a missing object."""
        try:
            client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            return bool(error.response.get("Error", {}).get("Code", "") not in {*_ABSENT, "NoSuchBucket"})
        return True

    def _client(self) -> Any:  # noqa: ANN401 - boto3 makes its clients' types at run time
        style = self.addressing_style.strip()
        if style not in _STYLES:
            raise PipelineError(f"BANDIT_S3_ADDRESSING_STYLE must be one of {', '.join(_STYLES)}.")
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint.strip() or None,
            region_name=self.region.strip(),
            aws_access_key_id=_key("ACCESS_KEY", self.access_key),
            aws_secret_access_key=_key("SECRET_KEY", self.secret_key),
            aws_session_token=_key("SESSION_TOKEN", self.session_token),
            config=Config(
                connect_timeout=TIMEOUT,
                read_timeout=6 * TIMEOUT,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                s3={"addressing_style": style},
                proxies={} if _is_direct(self.endpoint) else None,
            ),
        )


def _key(name: str, given: str) -> str | None:
    """Return a key without the line break at the end of a file. A key that is sent in a header is not shown."""
    key = given.strip()
    if not _PRINTABLE.fullmatch(key):
        raise PipelineError(f"BANDIT_S3_{name} must be printable ASCII, without spaces or line breaks.")
    return key or None


def _is_direct(endpoint: str) -> bool:
    try:
        return bool(endpoint.strip()) and needs_no_proxy(httpx.URL(endpoint.strip()), getproxies().get("no", ""))
    except httpx.InvalidURL:
        return False
