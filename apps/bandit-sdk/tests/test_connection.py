"""What can never work is refused when a client is made; what was given is not shown."""

from __future__ import annotations

from traceback import format_exception

import pytest

from bandit_sdk import AsyncClient, Client
from bandit_sdk.connection import key_headers, service_url, without_secrets


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "localhost:8000",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://u:secret/x@host",
        "http://a..b",
        "",
    ],
)
def test_wrong_url(url: str, kind: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="url must name a scheme") as raised:
        kind(url)
    assert "secret" not in "".join(format_exception(raised.value)).partition("ValueError")[2]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("key", ["\n", "secret\r\nx: y", "sec ret", "sécret", "\x00secret", ""])
def test_key_that_cannot_be_sent(key: str, kind: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="api_key must be") as raised:
        kind("http://service", api_key=key)
    assert "cret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/?key=S3cret", "http://127.0.0.1:8000/#/S3cret", "http://u:S3cret@h/x?", "http://h#"]
)
def test_a_url_that_goes_on_after_its_path(url: str) -> None:
    with pytest.raises(ValueError, match="url must end with its path") as raised:
        Client(url)
    assert "S3cret" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://a b", "http://127.0.0.1 :9", "http://h%0a", "http://%31", "http://h:0"])
def test_a_host_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="url must name a scheme and a host"):
        Client(url)


@pytest.mark.parametrize(
    "url",
    [
        "HTTP://Shop.test/bandit/",
        " http://127.0.0.1:8000\r\n",
        "http://[::1]:8000",
        "http://straße.test",
        "http://a_b-1",
    ],
)
def test_urls_of_a_service(url: str) -> None:
    Client(url).close()


def test_the_line_break_of_a_file_is_left_out() -> None:
    assert key_headers(" secret\r\n") == {"Authorization": "Bearer secret"}
    assert str(service_url("http://service:8000\n")) == "http://service:8000"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@host:8000/path?token=secret", "http://host:8000/path"),
        ("http://user:12/secret@host", "the URL"),
        ("http://host/path#@secret", "the URL"),
        ("http://[secret", "the URL"),
        ("user:secret@host", "the URL"),
        ("/home/me/data.zip", "/home/me/data.zip"),
    ],
)
def test_what_messages_show_of_a_url(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
