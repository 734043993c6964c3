"""What can never work is refused when a client is made; what was given is not shown."""

from __future__ import annotations

from traceback import format_exception

import pytest

from bandit_sdk import AsyncClient, Client


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("url", ["secret", "localhost:8000", "ftp://host", "http://", "http://host:port", ""])
def test_wrong_url(url: str, kind: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="url must name a scheme") as raised:
        kind(url)
    assert "secret" not in "".join(format_exception(raised.value)).partition("ValueError")[2]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("key", ["secret\n", "secret\r\nx: y", "sec ret", "sécret", "\x00secret", ""])
def test_key_that_cannot_be_sent(key: str, kind: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="api_key must be") as raised:
        kind("http://service", api_key=key)
    assert "cret" not in str(raised.value)
