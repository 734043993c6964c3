"""Tell a service that runs what experiments are by files that are kept in Git."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

_TIMEOUT = 10.0
_PAUSE = 0.5
# A key that is not known (401) may be made, or put in the place of an old one, while this waits.
_PASSING = (401, 429, 503)
_KEY = re.compile(r"[!-~]*")


class RefusedError(Exception):
    """The service does not take a file, and sending it again will not help."""


class AwayError(Exception):
    """The service did not answer for all the time there was."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An experiment that is what its file says."""

    experiment_id: str
    revision: int
    created: bool


def definitions(paths: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every file with the experiment in it; a folder stands for the *.json in it, in the order of their names.

    Raises:
        ValueError: a file is no JSON object with an experiment_id; OSError: it cannot be read.
    """
    for path in paths:
        for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            try:
                definition = json.loads(file.read_bytes(), object_pairs_hook=_object, parse_constant=_refuse_constant)
            except ValueError as error:
                raise ValueError(f"{file} is not JSON: {error}") from None
            if not isinstance(definition, dict) or "experiment_id" not in definition:
                raise ValueError(f"{file} must be an object with an experiment_id, as POST /experiments takes it")
            if not isinstance(definition["experiment_id"], str):
                raise ValueError(f"experiment_id in {file} must be text")  # noqa: TRY004
            yield file, definition


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in members:
        if name in found:
            raise ValueError(f"the key {name} is there twice")
        found[name] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _address(url: str) -> tuple[SplitResult, str, int | None]:
    """Return a URL in its parts, with host and port; no message shows it, since a password may be in it.

    Raises:
        ValueError: it is no URL of a service.
    """
    with suppress(ValueError):
        parts = urlsplit(url.strip())
        is_one = parts.scheme in ("http", "https") and not parts.query and not parts.fragment
        if is_one and parts.hostname and re.fullmatch(r"\S+", parts.hostname) and parts.hostname.encode("idna"):
            return parts, parts.hostname, parts.port
    raise ValueError("BANDIT_URL must be a URL such as http://bandit-service:8000")


class ServiceApi:
    """The management endpoints of a service; what may pass is tried again for `patience` seconds."""

    def __init__(self, url: str, api_key: str | None, *, patience: float) -> None:
        parts, self._host, self._port = _address(url)
        self._connects = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._path = quote(parts.path.rstrip("/"), safe="/%")
        key = (api_key or "").strip()
        if not _KEY.fullmatch(key):
            raise ValueError("BANDIT_API_KEY must be printable ASCII, without spaces or line breaks")
        self._headers = {"Content-Type": "application/json"} | ({"X-Api-Key": key} if key else {})
        self._patience = patience

    def apply(self, definition: dict[str, Any], reason: str) -> Applied:
        """Make an experiment what a definition says. Doing it again does no harm.

        Raises:
            RefusedError: the service does not take it; AwayError: there was no answer of it in time.
        """
        path = f"{self._path}/experiments/{quote(definition['experiment_id'], safe='')}?{urlencode({'reason': reason})}"
        deadline = time.monotonic() + self._patience
        while True:
            status, answer = self._try_put(path, definition)
            if status in (200, 201):
                return _applied(answer, created=status == 201)
            detail = answer.get("detail", f"answered {status}")
            if status is not None and status not in _PASSING:
                raise RefusedError(detail)
            if time.monotonic() > deadline:
                raise AwayError(detail)
            time.sleep(_PAUSE)

    def _try_put(self, path: str, definition: dict[str, Any]) -> tuple[int | None, dict[str, Any]]:
        connection = self._connects(self._host, self._port, timeout=_TIMEOUT)
        try:
            connection.request("PUT", path, json.dumps(definition), self._headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except SSLCertVerificationError as error:
            raise AwayError(f"the certificate of {self._host} is not accepted ({error.verify_message})") from None
        except (OSError, HTTPException, ValueError) as error:
            return None, {"detail": f"{self._host} does not answer: {error}"}
        finally:
            connection.close()
        return response.status, answer if isinstance(answer, dict) else {}


def _applied(answer: dict[str, Any], *, created: bool) -> Applied:
    match answer:
        case {"experiment_id": str(name), "revision": int(revision)}:
            return Applied(name, revision, created)
    raise AwayError("what answers at BANDIT_URL is not bandit-service")
