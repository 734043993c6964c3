"""Whether this machine can work with the service: each check with what to do if it fails. Nothing is asked twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final, Literal

import httpx
import msgspec

from bandit_sdk.client import Client
from bandit_sdk.connection import without_secrets
from bandit_sdk.errors import BanditError, ForbiddenError, UnauthorizedError, UnavailableError, UnreachableError
from bandit_sdk.requests import Call
from bandit_sdk.responses import decoder
from bandit_sdk.retries import Retries

MOST_SKEW: Final = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    status: Literal["ok", "warn", "fail"]
    text: str


class _Readiness(msgspec.Struct):
    degraded: list[str]


class _Info(msgspec.Struct):
    version: str


class _OpenApi(msgspec.Struct):
    info: _Info


def examine(url: str, api_key: str | None, experiment: str | None) -> Iterator[Finding]:
    """Yield the findings, most basic first; what cannot be asked after a failure is left out.

    Raises:
        ValueError: no client can be made for this URL and key.
    """
    with Client(url, api_key=api_key, timeout=5.0, retries=Retries(attempts=1)) as client:
        try:
            ready = client.response_to(Call("GET", "/ready", bytes))
            yield _service(decoder(_Readiness)(ready.content))
            yield _versions(client)
            yield _clock(ready)
        except UnreachableError as error:
            yield Finding("service", "fail", f"{without_secrets(url)} does not answer ({error}): check --url")
            return
        except UnavailableError as error:
            yield Finding("service", "fail", f"it is not ready ({error}): look at its log")
        except BanditError:
            yield Finding("service", "fail", "what answers is not bandit-service: check --url")
            return
        yield from _key(client, experiment)


def _service(state: _Readiness) -> Finding:
    if state.degraded:
        return Finding("service", "warn", f"it works without {', '.join(state.degraded)} at the moment")
    return Finding("service", "ok", "ready")


def _versions(client: Client) -> Finding:
    own = version("bandit-sdk")
    theirs = client.send(Call("GET", "/openapi.json", decoder(_OpenApi))).info.version
    if theirs.split(".")[:2] != own.split(".")[:2]:
        return Finding(
            "versions", "warn", f"bandit-sdk {own}, service {theirs}: install the SDK of the service's version"
        )
    return Finding("versions", "ok", f"bandit-sdk {own}, service {theirs}")


def _clock(answer: httpx.Response) -> Finding:
    if "date" not in answer.headers:
        return Finding("clock", "warn", "the service does not say what time it is")
    skew = time.time() - parsedate_to_datetime(answer.headers["date"]).timestamp()
    # The header has whole seconds.
    if abs(skew) > MOST_SKEW + 1.0:
        return Finding("clock", "warn", f"this machine's clock is {skew:+.0f} s from the service's")
    return Finding("clock", "ok", "agrees with the service's")


def _key(client: Client, experiment: str | None) -> Iterator[Finding]:
    try:
        client.experiments.list(limit=1)
    except UnauthorizedError:
        yield Finding("key", "fail", "it is missing or not known: give one with --api-key, or in BANDIT_API_KEY")
        return
    except BanditError as error:
        yield Finding("key", "fail", f"experiments cannot be listed: {error}")
        return
    yield Finding("key", "ok", f"its role is {_role(client)}")
    if experiment is not None:
        yield _experiment(client, experiment)


def _role(client: Client) -> str:
    """Return what the key may do, by requests that name nothing: a role is checked before the body is read."""
    for role, path in (("admin", "/experiments"), ("writer", "/select")):
        try:
            client.send(Call("POST", path, bytes, {}))
        except ForbiddenError:
            continue
        except BanditError:
            return role
    return "reader"


def _experiment(client: Client, experiment: str) -> Finding:
    try:
        return Finding("experiment", "ok", f"{experiment} is {client.posterior(experiment).status}")
    except BanditError as error:
        return Finding("experiment", "fail", f"{experiment}: {error}")
