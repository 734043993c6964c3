"""Whether this machine can work with the service: each check with what to do if it fails.

The process is asked for its state and its clock, once and without retries; what the key may do is asked by the client.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final, Literal

import httpx

from bandit_sdk.client import Client
from bandit_sdk.connection import refused_certificate, service_url, transport_to, without_secrets
from bandit_sdk.errors import BanditError, ForbiddenError, UnauthorizedError
from bandit_sdk.requests import Call
from bandit_sdk.retries import Retries

MOST_SKEW: Final = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    status: Literal["ok", "warn", "fail"]
    text: str


def examine(url: str, api_key: str | None, experiment: str | None) -> Iterator[Finding]:
    """Yield the findings, most basic first; what cannot be asked after a failure is left out.

    Raises:
        ValueError: no client can be made for this URL and key.
    """
    service = service_url(url)
    client = Client(url, api_key=api_key, timeout=5.0, retries=Retries(attempts=1))
    with client, httpx.Client(base_url=service, timeout=5.0, transport=transport_to(service)) as http:
        try:
            ready, document = http.get("/ready"), http.get("/openapi.json")
        except httpx.RequestError as error:
            where, why, reason = without_secrets(url), type(error).__name__, refused_certificate(error)
            said = f"{where} does not answer ({why}): check --url and the network"
            if reason is not None:
                said = (
                    f"the certificate of {where} is not accepted ({reason}): SSL_CERT_FILE may name other authorities"
                )
            yield Finding("service", "fail", said)
            return
        yield _service(ready)
        yield _versions(document)
        yield _clock(ready)
        yield from _key(client, experiment)


def _service(ready: httpx.Response) -> Finding:
    try:
        state, degraded = ready.json()["status"], ready.json()["degraded"]
    except (ValueError, KeyError, TypeError):
        return Finding("service", "fail", "what answers is not bandit-service: check --url")
    if ready.status_code != httpx.codes.OK:
        return Finding("service", "fail", f"it is not ready ({state}): look at its log")
    if degraded:
        return Finding("service", "warn", f"it works without {', '.join(degraded)} at the moment")
    return Finding("service", "ok", "ready")


def _versions(document: httpx.Response) -> Finding:
    own = version("bandit-sdk")
    try:
        theirs = str(document.json()["info"]["version"])
    except (ValueError, KeyError, TypeError):
        return Finding("versions", "warn", f"bandit-sdk {own}; the service does not say its own")
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
