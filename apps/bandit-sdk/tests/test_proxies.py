"""Which requests go through a proxy, by the variables that other programs read too."""

from __future__ import annotations

import subprocess
import sysconfig
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from bandit_sdk import AsyncClient, Client, Retries
from bandit_sdk.errors import UnreachableError
from bandit_sdk.proxies import proxy_of

PROXY = "http://proxy.example:3128"
ONCE = Retries(attempts=1)


def goes_through(url: str, **proxies: str) -> str | None:
    proxy = proxy_of(httpx.URL(url), proxies)
    return None if proxy is None else str(proxy.url)


class TestChoice:
    def test_by_the_scheme(self) -> None:
        assert goes_through("http://shop.test", http=PROXY) == PROXY
        assert goes_through("https://shop.test", http=PROXY) is None
        assert goes_through("https://shop.test", all=PROXY) == PROXY
        assert goes_through("http://shop.test", http="proxy.example:3128") == PROXY
        assert goes_through("http://shop.test") is None

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost", "a.localhost", "LOCALHOST"])
    def test_never_for_loopback(self, host: str) -> None:
        assert goes_through(f"http://{host}:8000", http=PROXY, all=PROXY) is None

    @pytest.mark.parametrize(
        ("entry", "url"),
        [
            ("*", "http://shop.test"),
            ("shop.test", "http://shop.test"),
            ("shop.test", "http://api.shop.test"),
            (".shop.test", "http://api.shop.test"),
            ("*.shop.test", "http://api.shop.test"),
            ("SHOP.test", "http://shop.TEST."),
            ("shop.test:8000", "http://shop.test:8000"),
            ("shop.test:443", "https://shop.test"),
            ("10.1.2.3", "http://10.1.2.3:8000"),
            ("10.0.0.0/8", "http://10.1.2.3:8000"),
            ("fd00::1", "http://[fd00::1]:8000"),
            ("[fd00::1]", "http://[fd00::1]:8000"),
            ("fd00::/8", "http://[fd12::1]:8000"),
            ("[fd00::1]:8000", "http://[fd00::1]:8000"),
            ("http://shop.test", "http://shop.test"),
        ],
    )
    def test_not_for_what_no_proxy_names(self, entry: str, url: str) -> None:
        assert goes_through(url, all=PROXY, no=f"x.test, {entry} ,[::1],fd99::/16") is None

    @pytest.mark.parametrize(
        ("entry", "url"),
        [
            ("shop.test", "http://workshop.test"),
            ("shop.test:8001", "http://shop.test:8000"),
            ("10.0.0.0/8", "http://11.0.0.1"),
            ("10.0.0.0/8", "http://10.test"),
            ("https://shop.test", "http://shop.test"),
            ("[::1]", "http://shop.test"),
            ("fd00::/8", "http://shop.test"),
            ("[", "http://shop.test"),
            (",, ", "http://shop.test"),
        ],
    )
    def test_for_everything_else(self, entry: str, url: str) -> None:
        assert goes_through(url, all=PROXY, no=entry) == PROXY


class TestWrongProxies:
    @pytest.mark.parametrize(
        "given", ["ftp://u:s3cret@host", "http://u:s3cret@host:port", "http://", "http://u:s3/cret@h"]
    )
    def test_the_variable_is_named_and_no_value(self, given: str) -> None:
        with pytest.raises(ValueError, match="HTTP_PROXY must be the URL of a proxy") as raised:
            goes_through("http://shop.test", http=given)
        assert "s3" not in str(raised.value)

    @pytest.mark.parametrize("kind", [Client, AsyncClient])
    def test_socks_without_its_package(self, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
        with pytest.raises(ValueError, match=r"ALL_PROXY names a SOCKS proxy: install httpx\[socks\]"):
            kind("http://shop.test")
        assert kind("http://127.0.0.1:9") is not None

    def test_certificates_that_are_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
        with pytest.raises(ValueError, match="SSL_CERT_FILE"):
            Client("https://shop.test")


class Forwarding(BaseHTTPRequestHandler):
    """A proxy that answers by itself, with what it was asked for."""

    def do_GET(self) -> None:
        body = b'{"items": [], "next_cursor": null}' if self.path.startswith("http://shop.test/") else b"no"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_client_asks_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forwarding)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HTTP_PROXY", f"http://user:s3cret@127.0.0.1:{server.server_port}")
    with Client("http://shop.test") as client:
        assert client.experiments.list().items == ()
    server.shutdown()
    server.server_close()


def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:s3cret@127.0.0.1:9")
    with Client("http://shop.test", retries=ONCE) as client, pytest.raises(UnreachableError) as raised:
        client.experiments.list()
    assert "through the proxy http://127.0.0.1:9" in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("NO_PROXY", "localhost,[::1]"), ("NO_PROXY", "127.0.0.1,fd00::/8"), ("ALL_PROXY", "socks5://127.0.0.1:9")],
)
def test_banditctl_ends_in_one_line(name: str, value: str) -> None:
    program = str(Path(sysconfig.get_path("scripts")) / "banditctl")
    command = [program, "--url", "http://127.0.0.1:9", "experiments", "list"]
    done = subprocess.run(command, env={"PATH": "", name: value}, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1
