"""Which requests are refused before anything looks at them: broken ones, and those of foreign web pages."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache, partial
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Scope

from bandit_core.rules.problems import Forbidden, Problem, Unreadable
from bandit_service.settings import is_loopback

# Clients use few names.
_REMEMBERED: Final = 64
_READING: Final = ("GET", "HEAD", "OPTIONS")


class RequestGuard:
    """Refuses (400) a request that servers on its way could read differently.

    A service on loopback that needs no API key can be reached by every web page that a browser on the same machine
    shows. So it also refuses (403) a request for a host of another name (DNS rebinding), and a request of another
    site's page that may change something.

    Args:
        host_names: The names of this machine besides those of loopback; None where requests need a key.
    """

    def __init__(self, host_names: Collection[str] | None) -> None:
        self._host_names = host_names
        self._is_own = lru_cache(_REMEMBERED)(partial(_is_one_of, host_names or ()))

    def problem(self, scope: Scope) -> Problem | None:
        """Return why an HTTP request is refused; None if it is not."""
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
