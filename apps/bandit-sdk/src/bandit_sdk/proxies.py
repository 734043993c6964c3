"""Which proxy stands between this process and a server, by the environment (HTTP_PROXY, NO_PROXY and so on).

httpx reads the same variables, but it fails on entries of NO_PROXY that other programs take (`[::1]`, `fd00::/8`),
takes no notice of ranges (`127.0.0.0/8`), and sends requests for this machine to the proxy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final
from urllib.request import getproxies

import httpx

_BRACKETS: Final = re.compile(r"^\[([^]]*)](?=$|/)")

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_of(url: httpx.URL, proxies: Mapping[str, str] | None = None) -> httpx.Proxy | None:
    """Return the proxy for a URL, or None if it is reached directly. Loopback is always reached directly.

    Args:
        url: Of the server.
        proxies: The proxy of each scheme, under `no` what needs none; those of the environment if not given.

    Raises:
        ValueError: the proxy cannot be used; the message names the variable and shows no value.
    """
    known = getproxies() if proxies is None else proxies
    scheme = url.scheme if known.get(url.scheme) else "all"
    given = known.get(scheme, "")
    if not given or needs_no_proxy(url, known.get("no", "")):
        return None
    name = f"{scheme.upper()}_PROXY"
    proxy = _proxy(given)
    if proxy is None:
        raise ValueError(f"{name} must be the URL of a proxy, such as http://proxy.example:3128")
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ValueError(f"{name} names a SOCKS proxy: install httpx[socks], or name the host in NO_PROXY")
    return proxy


def _proxy(given: str) -> httpx.Proxy | None:
    try:
        proxy = httpx.Proxy(given if "://" in given else f"http://{given}")
    except (ValueError, httpx.InvalidURL):
        return None
    return proxy if proxy.url.host and "@" not in proxy.url.path else None


def needs_no_proxy(url: httpx.URL, no_proxy: str) -> bool:
    """Return whether a URL leads to this machine, or to what an entry of NO_PROXY names.

    An entry is a domain (which stands for all below it), an address, a range of addresses, or `*`; a port may follow.
    """
    address = _address(url.host)
    if address is None:
        host = url.host.lower().rstrip(".")
        if host == "localhost" or host.endswith(".localhost"):
            return True
    elif address.is_loopback:
        return True
    entries = (entry.strip() for entry in no_proxy.lower().split(","))
    return any(_names(entry, url, address) for entry in entries if entry)


def _names(entry: str, url: httpx.URL, address: Address | None) -> bool:
    if entry == "*":
        return True
    scheme, separator, rest = entry.rpartition("://")
    if separator and scheme not in (url.scheme, "all"):
        return False
    if (network := _network(rest)) is not None:
        return address is not None and address in network
    name, colon, port = rest.rpartition(":")
    if colon:
        return port == str(url.port or {"http": 80, "https": 443}.get(url.scheme)) and _names(name, url, address)
    domain = rest.removeprefix("*").strip(".")
    host = url.host.lower().rstrip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(_BRACKETS.sub(r"\1", text), strict=False)
    except ValueError:
        return None


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
