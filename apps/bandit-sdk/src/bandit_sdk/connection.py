"""Where the service is and which key is sent, checked when a client is made.

No message shows what was given: a key may be in it.
"""

from __future__ import annotations

import re
from typing import Final

import httpx

_KEY: Final = re.compile(r"[!-~]+")


def service_url(url: str) -> httpx.URL:
    """Return the URL of a service.

    Raises:
        ValueError: it is no URL with the scheme http or https and a host.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError('url must name a scheme and a host, such as "http://127.0.0.1:8000" or "https://example.org"')
    return parsed


def key_headers(api_key: str | None) -> dict[str, str]:
    """Return the header that carries an API key, or none without one.

    Raises:
        ValueError: the key cannot be sent in a header.
    """
    if api_key is None:
        return {}
    if not _KEY.fullmatch(api_key):
        raise ValueError("api_key must be printable ASCII, without spaces or line breaks, and not empty")
    return {"Authorization": f"Bearer {api_key}"}
