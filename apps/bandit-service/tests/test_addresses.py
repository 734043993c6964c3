"""Addresses of stores are judged before anything connects; the option is named, and no part of a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandit_service.addresses import check_postgres_dsn, check_redis_url

FORM = "must be a URL such as redis://localhost:6379/0"
DSN_FORM = "must be a connection string such as postgresql://"


def why_redis(url: str) -> str:
    with pytest.raises(ValueError, match=r"^(must|has|names)") as raised:
        check_redis_url(url)
    return str(raised.value)


def why_postgres(dsn: str) -> str:
    with pytest.raises(ValueError, match=r"^(must|has)") as raised:
        check_postgres_dsn(dsn)
    return str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/",
        "redis://user:p%2Fw@[::1]:6379/15",
        "redis://:p@ss@localhost/0",
        "redis://localhost?db=3&socket_keepalive=yes&health_check_interval=10&client_name=bandit&protocol=3",
        "rediss://localhost/1?ssl_cert_reqs=none&ssl_check_hostname=false",
        "unix:///run/redis.sock?db=2",
        "unix://user:word@/run/redis.sock",
    ],
)
def test_urls_of_redis(url: str) -> None:
    check_redis_url(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://localhost/abc", "must end in the number of a database"),
        ("redis://localhost/1/2", "must end in the number of a database"),
        ("redis://localhost/${DATABASE}", "must end in the number of a database"),
        ("redis://localhost?decode_responses=true", "has an option decode_responses that is not one of db,"),
        ("redis://localhost?socket_timeout=abc", "has an option socket_timeout that is not one of"),
        ("redis://localhost?max_connections=1", "has an option max_connections that is not one of"),
        ("redis://localhost?DB=1", "has an option that is not one of"),
        ("redis://localhost?db=x", "has a value that does not fit its option db"),
        ("redis://localhost?protocol=4", "has a value that does not fit its option protocol"),
        ("redis://localhost?ssl_cert_reqs=none", "has the option ssl_cert_reqs, which needs rediss://"),
        ("rediss://localhost?ssl_cert_reqs=never", "has a value that does not fit its option ssl_cert_reqs"),
        ("rediss://localhost?ssl_ca_certs=/nowhere", "an option ssl_ca_certs that names no certificates"),
        ("rediss://localhost?ssl_keyfile=/nowhere", "has a value that does not fit its option ssl_keyfile"),
        ("redis://localhost/0#1", FORM),
        ("redis:///0", FORM),
        ("unix://", "must name the path of a socket"),
        ("unix://run/redis.sock", "must name the path of a socket"),
        ("REDIS://localhost", FORM),
        ("redis://localhost/0?db=1", "names a database twice"),
        ("redis://localhost?db=1&db=2", "has an option that is there twice"),
        ("redis+sentinel://localhost", FORM),
    ],
)
def test_wrong_urls_of_redis(url: str, message: str) -> None:
    assert message in why_redis(url)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:w%40rd@h1,h2:5433/x?target_session_attrs=read-write&sslmode=verify-full&sslrootcert=system",
        "postgresql:///x?host=/run/postgresql",
        "host=a,b hostaddr=1.2.3.4,5.6.7.8 port=1,2 connect_timeout=3 keepalives_idle=30",
        "postgresql://[::1]:5432/x?application_name=a%20b",
        "service=bandit",
        "postgresql://h/x?client_encoding=UTF8&replication=false",
    ],
)
def test_dsns_of_postgres(dsn: str) -> None:
    check_postgres_dsn(dsn)


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("", "must not be empty"),
        ("localhost", DSN_FORM),
        ("postgresql+psycopg://u@h/x", DSN_FORM),
        ("postgresql://h/x?pool_size=5", "has the option pool_size, which libpq does not know"),
        ("postgresql://h/x?sslmode=always", "has a value that does not fit its option sslmode"),
        ("postgresql://h/x?connect_timeout=5s", "has a value that does not fit its option connect_timeout"),
        ("postgresql://h/x?keepalives=on", "has a value that does not fit its option keepalives"),
        ("postgresql://h/x?target_session_attrs=main", "has a value that does not fit its option target_session_attrs"),
        ("postgresql://h/x?sslrootcert=system&sslmode=require", "has a value that does not fit its option sslmode"),
        ("postgresql://h/x?client_encoding=latin1", "has the option client_encoding, which must be utf8"),
        ("postgresql://h/x?replication=database", "has the option replication"),
        ("postgresql://h:99999/x", "has a value that does not fit its option port"),
        ("postgresql://h/x?sslrootcert=/nowhere", "an option sslrootcert that names no certificates"),
    ],
)
def test_wrong_dsns_of_postgres(dsn: str, message: str) -> None:
    assert message in why_postgres(dsn)


def test_a_file_without_certificates(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    assert "ssl_ca_certs" in why_redis(f"rediss://h?ssl_ca_certs={tmp_path}/empty.pem")
    assert "sslrootcert" in why_postgres(f"postgresql://h/x?sslrootcert={tmp_path}/empty.pem")


@pytest.mark.parametrize(
    "password", ["S3cret/rest", "S3cret#rest", "S3cret?rest", "12/S3cret", "12#S3cret", "S3cret?a=b"]
)
def test_no_part_of_a_password_of_redis(password: str) -> None:
    message = why_redis(f"redis://:{password}@127.0.0.1:9/0")
    assert "S3cret" not in message
    assert "percent-encoded" in message


@pytest.mark.parametrize("password", ["S3cret/rest", "S3cret%zz", "S3@cret", "12/S3cret", "a@S3cret/x", "S3cret/x?a=b"])
def test_no_part_of_a_password_of_postgres(password: str) -> None:
    message = why_postgres(f"postgresql://u:{password}@127.0.0.1:9/x")
    assert "S3cret" not in message
    assert "cret" not in message
    assert "percent-encoded" in message
