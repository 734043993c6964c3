"""bandit-service over HTTP: connections that stay open, shared by threads, with a budget of time for every question."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3

from bandit_router.messages import Answer

# As many connections are kept open as a worker is likely to have threads; more are opened when they are needed.
_KEPT_OPEN = 16


class UnreachableError(Exception):
    """bandit-service did not answer within the time there was."""


class ServiceClient:
    """Asks bandit-service. It may be shared by threads, but not by processes: make it after the fork.

    The budget covers connecting and every wait for bytes, not the look-up of a host's name. An answer that arrives in
    drops may take longer; bandit-service sends its answers in one piece.
    """

    def __init__(self, url: str, *, timeout: float, api_key: str | None = None) -> None:
        self._timeout = timeout
        self._path = urlsplit(url).path.rstrip("/")
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._pool = urllib3.connection_from_url(url, maxsize=_KEPT_OPEN, headers=headers)

    def get(self, path: str) -> Answer:
        """Ask for what is at a path.

        Raises:
            UnreachableError: There was no answer in time.
        """
        return self._send("GET", path, None, repeatable=True)

    def post(self, path: str, body: Mapping[str, Any], *, repeatable: bool) -> Answer:
        """Send a JSON object. What is repeatable is sent again if the connection breaks and there is time left.

        Raises:
            UnreachableError: There was no answer in time.
        """
        return self._send("POST", path, json.dumps(body).encode(), repeatable=repeatable)

    def close(self) -> None:
        self._pool.close()

    def _send(self, method: str, path: str, body: bytes | None, *, repeatable: bool) -> Answer:
        deadline = time.monotonic() + self._timeout
        try:
            try:
                return self._try(method, path, body, self._timeout)
            except urllib3.exceptions.ProtocolError:
                # A server may close a connection in the moment it is used again: that says nothing about the server.
                remaining = deadline - time.monotonic()
                if not repeatable or remaining <= 0:
                    raise
                return self._try(method, path, body, remaining)
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(str(error)) from error

    def _try(self, method: str, path: str, body: bytes | None, timeout: float) -> Answer:
        response = self._pool.urlopen(
            method,
            self._path + path,
            body=body,
            timeout=urllib3.Timeout(total=timeout),
            retries=False,
        )
        try:
            found = json.loads(response.data)
        except ValueError:
            found = None
        return Answer(response.status, found if isinstance(found, dict) else {})
