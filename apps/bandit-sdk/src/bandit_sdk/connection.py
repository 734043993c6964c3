"""How the service is reached: its URL, the key that is sent, and new connections.

URL, key and proxy are checked when a client is made. No message shows what was given: a key may be in it.
"""

from __future__ import annotations

import re
import ssl
from typing import Final
from urllib.parse import urlsplit

import httpx

from bandit_sdk.proxies import proxy_of

_KEY: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(rb"[A-Za-z0-9._-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(%[!-~]+)?")
_BREAKS: Final = re.compile(r"[\t\r\n]")
_ASSIGNED: Final = re.compile(r"(password|secret|token|key)\s*=", re.IGNORECASE)


def service_url(url: str) -> httpx.URL:
    """Return the URL of a service.

    Raises:
        ValueError: it is no URL with the scheme http or https and a host, or goes on after its path.
    """
    try:
        parsed = httpx.URL(url.strip())
        # What is no name of a host is otherwise found when it is looked up, as another kind of error.
        parsed.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not _HOST.fullmatch(parsed.raw_host) or parsed.port == 0:
        raise ValueError('url must name a scheme and a host, such as "http://127.0.0.1:8000" or "https://example.org"')
    if parsed.query or parsed.fragment or "?" in url or "#" in url:
        raise ValueError("url must end with its path: what follows ? or # is no part of where a service is")
    return parsed


def key_headers(api_key: str | None) -> dict[str, str]:
    """Return the header that carries an API key, or none without one.

    Blanks and line breaks around the key are left out: a key that is read from a file often ends in one.

    Raises:
        ValueError: the key cannot be sent in a header.
    """
    if api_key is None:
        return {}
    key = api_key.strip()
    if not _KEY.fullmatch(key):
        raise ValueError("api_key must be printable ASCII, without spaces or line breaks, and not empty")
    return {"Authorization": f"Bearer {key}"}


def without_secrets(url: str) -> str:
    """Return a URL as messages may show it: without user, password and query, where keys are.

    A connection string of another kind, such as "host=… password=…", is not shown.
    """
    text = _BREAKS.sub("", url.strip())
    try:
        parts = urlsplit(text)
        _ = parts.port  # a password in its place is no number
    except ValueError:
        return "the URL"
    # A password that holds a slash or the like ends there, and its rest is read as a path.
    rest = text.partition(parts.netloc)[2] if parts.netloc else text
    if ("@" in rest and ":" in text) or (not parts.netloc and _ASSIGNED.search(text)):
        return "the URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url


def transport_to(url: httpx.URL) -> httpx.HTTPTransport:
    """Return new connections to a server, through the proxy that the environment names for it, if it names one.

    Raises:
        ValueError: the environment names a proxy or certificates that cannot be used.
    """
    return httpx.HTTPTransport(verify=_certificates(), proxy=proxy_of(url))


def async_transport_to(url: httpx.URL) -> httpx.AsyncHTTPTransport:
    """As `transport_to`, for a client to be awaited."""
    return httpx.AsyncHTTPTransport(verify=_certificates(), proxy=proxy_of(url))


def refused_certificate(error: BaseException) -> str | None:
    """Return why a server's certificate is not accepted, if that is what an error comes from."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return found.verify_message
        found = found.__cause__ or found.__context__
    return None


def _certificates() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError:
        raise ValueError("SSL_CERT_FILE or SSL_CERT_DIR names no certificates that can be read") from None
