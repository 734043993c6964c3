"""Everything a process is told from outside, read from environment variables that begin with BANDIT_."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from bandit_service.addresses import check_postgres_dsn, check_redis_url

PREFIX = "BANDIT_"
_PLACEHOLDER = re.compile(
    r"change.?me|replace.?me|placeholder|your.?(password|secret|key)|example|<[^>]*>", re.IGNORECASE
)
_TOKEN = re.compile(r"[!-~]+")
_SIGNING_KEY = re.compile(r"k([0-9]{1,3}):([A-Za-z0-9+/_-]+={0,2})")
_HOW_TO_SIGN = "make one with `bandit-service keys signing`"
_FEWEST_BYTES, _MOST_BYTES, _HIGHEST_KEY_ID = 16, 64, 255

LEAST_RATE = 0.001
# What Kubernetes sets in a pod for a Service whose name begins with `bandit`.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)|_PORT(_[0-9]+_(TCP|UDP|SCTP))")
# Variables of other programs of the platform.
_OTHERS = frozenset({f"{PREFIX}{name}" for name in ("EXPORT_FOLDER", "POSTGRES_DISK_GIB", "URL", "API_KEY")})
_NEAR = 0.8
Seconds = Annotated[float, Field(gt=0, le=3_600)]


class Settings(BaseSettings):
    """The settings of one process. Secrets never appear in its text; errors name the field, never the value."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True
    )

    redis_url: SecretStr = Field(description="Redis, Valkey or Dragonfly: `redis://`, `rediss://` or `unix://`")
    postgres_dsn: SecretStr = Field(description="Postgres, as a URL or as `name=value` pairs")
    signing_keys: SecretStr = Field(description="`k2:BASE64,k1:BASE64`; the first signs, all are accepted")

    host: str = Field(default="127.0.0.1", description="Address that requests are taken at")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port that requests are taken at; 0: any free one")
    auth_required: bool | None = Field(
        default=None, description="Whether requests need an API key; None: unless the host is loopback"
    )

    metrics_token: SecretStr | None = Field(
        default=None, min_length=16, description="What /metrics takes as a bearer token; None: it needs no token"
    )

    host_names: str = Field(
        default="", description="Names besides localhost that requests without a key may call this host, with commas"
    )

    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="The path under which a proxy offers the service, as /docs has to name it",
    )

    max_body_bytes: int = Field(
        default=1_048_576, ge=1_024, le=64 * 1_048_576, description="Bytes of a request's body; longer ones get 413"
    )
    max_connections: int = Field(default=1_000, ge=1, le=100_000, description="Clients of this process at once")
    client_timeout: Seconds = Field(
        default=10.0, description="Seconds for sending a request, and for taking in an answer"
    )
    keep_alive: Seconds = Field(
        default=75.0,
        description="Seconds for a connection without a request; longer than balancers keep theirs, which is 60",
    )
    rate_limit: float = Field(
        default=10_000, ge=0, le=1e6, description="Items a second of one API key in this process; 0: no limit"
    )
    rate_limit_burst: float | None = Field(
        default=None, ge=1, le=1e7, description="Items of one API key at once; None: those of two seconds"
    )

    redis_timeout: Seconds = Field(default=0.5, description="Seconds that a command of Redis may take")
    postgres_timeout: Seconds = Field(
        default=1.0, description="Seconds that a reward waits for Postgres before it is queued in Redis"
    )
    lease_seconds: Seconds = Field(
        default=5.0, description="Seconds without a sign of life until a process counts as dead"
    )
    keyring_refresh: Seconds = Field(default=30.0, description="Seconds until a revoked API key is refused everywhere")
    postgres_pool_min: int = Field(default=1, ge=0, le=100, description="Connections to Postgres that are kept open")
    postgres_pool_max: int = Field(default=8, ge=1, le=100, description="Connections to Postgres at most")
    postgres_prepare: bool | None = Field(
        default=None,
        description="Prepare statements in sessions; None: unless a pooler stands between, which may not support it",
    )

    waiting_memory: int = Field(
        default=384, ge=1, le=1_048_576, description="MiB of events that a process keeps until Postgres has them"
    )

    banditdb: bool = Field(default=True, description="BanditDB's API at /banditdb")
    mcp: bool = Field(default=True, description="Tools for agents at /mcp")
    export_dir: Path = Field(default=Path(".local/export"), description="Where a checkpoint of /banditdb writes")

    # With its indexes a decision takes 530 to 680 bytes of Postgres, a reward 455: 1,000 decisions a second are some
    # 50 GB a day, so 1.5 TB in 30 days; 50 a second are 75 GB.
    keep_events_days: int = Field(
        default=30, ge=0, le=36_500, description="Events of older decisions are dropped without a copy; 0: never"
    )

    log_format: Literal["json", "console"] = Field(default="json", description="How a line of the log is written")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged"
    )

    @property
    def authenticates(self) -> bool:
        """Whether requests need an API key."""
        return not is_loopback(self.host) if self.auth_required is None else self.auth_required

    @property
    def own_host_names(self) -> frozenset[str] | None:
        """The names that requests may call this host besides those of loopback; None where they need a key."""
        if self.authenticates:
            return None
        return frozenset(name.strip().lower() for name in self.host_names.split(",") if name.strip())

    @property
    def decision_keys(self) -> dict[int, bytes]:
        """The signing keys by their number, the one that signs first."""
        return parse_signing_keys(self.signing_keys.get_secret_value())

    @field_validator("redis_url", "postgres_dsn", "signing_keys", "metrics_token", mode="before")
    @classmethod
    def _strip(cls, secret: object) -> object:
        """Leave out blanks and line breaks around it: what is read from a file often ends in one."""
        return secret.strip() if isinstance(secret, str) else secret

    @field_validator("metrics_token")
    @classmethod
    def _check_metrics_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces, since it is sent in a header")
        return token

    @field_validator("root_path", mode="before")
    @classmethod
    def _strip_slash(cls, path: object) -> object:
        return path.strip().rstrip("/") if isinstance(path, str) else path

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: SecretStr) -> SecretStr:
        check_redis_url(url.get_secret_value())
        _refuse_placeholder(urlsplit(url.get_secret_value()).password or "")
        return url

    @field_validator("postgres_dsn")
    @classmethod
    def _check_postgres_dsn(cls, dsn: SecretStr) -> SecretStr:
        check_postgres_dsn(dsn.get_secret_value())
        _refuse_placeholder(str(conninfo_to_dict(dsn.get_secret_value()).get("password", "")))
        return dsn

    @field_validator("port", mode="before")
    @classmethod
    def _check_port(cls, port: object) -> object:
        if isinstance(port, str) and "://" in port:
            raise ValueError(
                "holds a URL: Kubernetes sets it so for a Service called 'bandit' (service links). Give the pod"
                " `enableServiceLinks: false`, or the Service another name"
            )
        return port

    @field_validator("signing_keys")
    @classmethod
    def _check_signing_keys(cls, keys: SecretStr) -> SecretStr:
        parse_signing_keys(keys.get_secret_value())
        return keys

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.auth_required is False and not is_loopback(self.host):
            raise ValueError("auth_required may be off only while host is a loopback address")
        if 0 < self.rate_limit < LEAST_RATE:
            raise ValueError(f"rate_limit must be 0 (no limit) or at least {LEAST_RATE:g}")
        if self.postgres_pool_min > self.postgres_pool_max:
            raise ValueError("postgres_pool_min must not be above postgres_pool_max")
        return self


def is_loopback(host: str) -> bool:
    """Return whether only programs on the same machine can reach a server bound to this host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_signing_keys(text: str) -> dict[int, bytes]:
    """Return signing keys by number from `k2:BASE64,k1:BASE64`.

    Raises:
        ValueError: there is none, or one that is not random bytes.
    """
    keys: dict[int, bytes] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        match = _SIGNING_KEY.fullmatch(item)
        if match is None or int(match[1]) > _HIGHEST_KEY_ID:
            raise ValueError(f"each key must look like k1:BASE64, with a number up to 255; {_HOW_TO_SIGN}")
        if int(match[1]) in keys:
            raise ValueError(f"key k{match[1]} is there twice")
        keys[int(match[1])] = _secret_bytes(match[2])
    if not keys:
        raise ValueError(f"at least one key is needed; {_HOW_TO_SIGN}")
    return keys


def check_variables(environment: Collection[str]) -> None:
    """Raise ValueError if a variable looks like a misspelt setting. Others, such as those of Kubernetes, are left."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known | _OTHERS)
    wrong = [
        f"{name} is no setting: did you mean {near[0]}?"
        for name in unknown
        if not _SERVICE_LINK.search(name) and (near := get_close_matches(name, known, 1, _NEAR))
    ]
    if wrong:
        raise ValueError("; ".join(wrong))


def describe(error: ValidationError) -> str:
    """Return what is wrong with the environment in one line, without any value."""
    return "; ".join(_describe_one(each) for each in error.errors(include_input=False))


def _describe_one(found: ErrorDetails) -> str:
    field = str(found["loc"][0]) if found["loc"] else ""
    message = found["msg"].removeprefix("Value error, ")
    if found["type"] == "missing":
        message = f"is not set; {_HOW_TO_SIGN}" if field == "signing_keys" else "is not set"
    return f"{PREFIX}{field.upper()} {message}" if field else message


def _secret_bytes(text: str) -> bytes:
    _refuse_placeholder(text)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if set(text) & set("-_") else None)
    except binascii.Error:
        raise ValueError(f"a key is not base64; {_HOW_TO_SIGN}") from None
    if not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"a key must hold {_FEWEST_BYTES} to {_MOST_BYTES} bytes; {_HOW_TO_SIGN}")
    # Random bytes are all but never readable text, nor do they repeat this much.
    if key.isascii() or len(set(key)) < _FEWEST_BYTES // 2:
        raise ValueError(f"a key is not random; {_HOW_TO_SIGN}")
    return key


def _refuse_placeholder(secret: str) -> None:
    if _PLACEHOLDER.search(secret):
        raise ValueError("the secret in it is a placeholder; put in a real one")
