"""Which requests are refused before anything looks at them: broken ones, and those of foreign web pages."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache, partial
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from bandit_core.rules.problems import Forbidden, Problem, Unreadable
from bandit_service.http.problems import problem_response
from bandit_service.settings import is_loopback

# Clients use few names.
_REMEMBERED: Final = 64
_READING: Final = ("GET", "HEAD", "OPTIONS")


class RequestGuard:
    """Answers 400 to a request that servers on its way could read differently.

    A service on loopback that needs no API key can be reached by every web page that a browser on the same machine
    shows. So it also answers 403 to a request for a host of another name (DNS rebinding), and to a request of another
    site's page that may change something.

    Args:
        app: What answers all other requests.
        host_names: The names of this machine besides those of loopback; None where requests need a key.
    """

    def __init__(self, app: ASGIApp, host_names: Collection[str] | None) -> None:
        self._app = app
        self._host_names = host_names
        self._is_own = lru_cache(_REMEMBERED)(partial(_is_one_of, host_names or ()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await problem_response(problem)(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        hosts, origin, site = [], "", b""
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value.decode("latin-1"))
            elif name == b"origin":
                origin = value.decode("latin-1")
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
                return Unreadable("Transfer-Encoding may only be chunked")
        if len(hosts) != 1 and scope["http_version"] != "1.0":
            return Unreadable("a request must have one header Host")
        if self._host_names is None:
            return None
        if hosts and not self._is_own(f"//{hosts[0]}"):
            return Forbidden("the header Host names another machine; set BANDIT_HOST_NAMES to accept that name")
        is_foreign = site == b"cross-site" or (origin != "" and not self._is_own(origin))
        if is_foreign and scope["method"] not in _READING:
            return Forbidden("the request comes from a web page of another site")
        return None


def _is_one_of(host_names: Collection[str], url: str) -> bool:
    """Return whether a URL leads to loopback or to one of these hosts."""
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or name.endswith(".localhost") or name in host_names
