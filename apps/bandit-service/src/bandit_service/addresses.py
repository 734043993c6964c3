"""The addresses of Redis and Postgres, judged as a whole before anything connects to them.

Client libraries ignore what they cannot read, or fail in the middle of work, with the address in the message. No
message here shows a value: parts of a password may be in any of them.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_REDIS_FORM: Final = "must be a URL such as redis://localhost:6379/0 (or rediss://, unix://)"
_POSTGRES_FORM: Final = "must be a connection string such as postgresql://user@localhost:5432/bandit"
_ENCODE: Final = "; a password that holds / # ? @ or % needs them percent-encoded"
_DATABASE: Final = re.compile(r"/?|/[0-9]{1,9}")
_OPTION: Final = re.compile(r"[a-z_]{1,40}")
_NUMBERS: Final = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
_NOWHERE: Final = "/nonexistent"


def check_redis_url(url: str) -> None:
    """Raise ValueError, naming the option, unless the service can work with this URL of a Redis."""
    parts = _split(url)
    if not parts.hostname and parts.scheme != "unix":
        raise ValueError(_REDIS_FORM + _ENCODE)
    if parts.scheme == "unix" and (parts.hostname or not parts.path):
        raise ValueError("must name the path of a socket, such as unix:///run/redis.sock")
    if parts.scheme != "unix" and not _DATABASE.fullmatch(parts.path):
        raise ValueError("must end in the number of a database, such as /0" + _ENCODE)
    given = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(given)
    for name, value in options.items():
        if name not in _REDIS_OPTIONS:
            named = f" {name}" if _OPTION.fullmatch(name) else ""
            raise ValueError(f"has an option{named} that is not one of {', '.join(_REDIS_OPTIONS)}")
        if name.startswith("ssl_") and parts.scheme != "rediss":
            raise ValueError(f"has the option {name}, which needs rediss://")
        if not _REDIS_OPTIONS[name](value):
            raise ValueError(f"has a value that does not fit its option {name}")
    if len(given) > len(options):
        raise ValueError("has an option that is there twice")
    if parts.scheme != "unix" and "db" in options and parts.path.strip("/"):
        raise ValueError("names a database twice: at its end, and as the option db")
    _check_certificates(options, {"ssl_ca_certs": "cafile", "ssl_ca_path": "capath"})


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # redis-py takes the scheme in small letters only.
        is_one = (
            url.startswith(f"{parts.scheme}://") and parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
        )  # reading the port also checks it
    except ValueError:
        is_one = False
    if not is_one or parts.fragment or "@" in parts.path + parts.query:
        raise ValueError(_REDIS_FORM + _ENCODE)
    return parts


def check_postgres_dsn(dsn: str) -> None:
    """Raise ValueError, naming the option, unless libpq can read this connection string and use its options."""
    given = _parsed(dsn)
    if not given:
        raise ValueError("must not be empty")
    for name in ("host", "hostaddr", "port", "dbname"):
        if "@" in str(given.get(name, "")):
            raise ValueError(_POSTGRES_FORM + _ENCODE)
    for name in _NUMBERS:
        if not _is_whole(str(given.get(name, 0))):
            raise ValueError(f"has a value that does not fit its option {name}")
    if str(given.get("client_encoding", "utf8")).lower().replace("-", "") not in ("utf8", "auto"):
        raise ValueError("has the option client_encoding, which must be utf8: texts of all languages are written")
    if str(given.get("replication", "false")).lower() not in ("false", "off", "no", "0"):
        raise ValueError("has the option replication, which is for copies of Postgres")
    if name := _refused_by_libpq(given):
        raise ValueError(f"has a value that does not fit its option {name}" + (_ENCODE if name == "port" else ""))
    _check_certificates(given, {"sslrootcert": "cafile"})


def _parsed(dsn: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(dsn)
    except ProgrammingError:
        known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
        query = dsn.partition("?")[2]
        unknown = [name for name, _ in parse_qsl(query) if name not in known and _OPTION.fullmatch(name)]
    if unknown and "@" not in query:
        raise ValueError(f"has the option {unknown[0]}, which libpq does not know")
    raise ValueError(_POSTGRES_FORM + _ENCODE)


def _refused_by_libpq(given: Mapping[str, Any]) -> str:
    """Return the option whose value libpq refuses, or nothing. It is asked to connect to a place that is none."""
    hosts = str(given.get("hostaddr") or given.get("host") or "").count(",") + 1
    elsewhere = {name: value for name, value in given.items() if name not in ("host", "hostaddr", "service")}
    asked = pq.PGconn.connect_start(make_conninfo("", host=",".join([_NOWHERE] * hosts), **elsewhere).encode())
    said = asked.error_message.decode(errors="replace")
    asked.finish()
    if _NOWHERE in said:
        return ""
    found = re.search(r'option "(\w+)"|^invalid "?(\w+)|^weak (\w+)', said)
    name = (found[1] or found[2] or found[3]) if found else ""
    return name if name in given else "port"


def _check_certificates(options: Mapping[str, Any], files: Mapping[str, str]) -> None:
    for name, kind in files.items():
        if options.get(name) in (None, "system"):
            continue
        with suppress(OSError, ValueError):
            ssl.create_default_context(**{kind: str(Path(options[name]).expanduser())})  # type: ignore[arg-type]
            continue
        raise ValueError(f"has an option {name} that names no certificates that can be read")


def _is_whole(text: str) -> bool:
    return text.lstrip("-").isdecimal()


def _is_switch(text: str) -> bool:
    return text.lower() in ("true", "false", "1", "0", "yes", "no")


def _is_file(text: str) -> bool:
    return Path(text).is_file()


_REDIS_OPTIONS: Final[Mapping[str, Callable[[str], bool]]] = {
    "db": lambda text: text.isdecimal(),
    "client_name": lambda text: bool(re.fullmatch(r"[!-~]+", text)),
    "health_check_interval": lambda text: text.isdecimal(),
    "protocol": lambda text: text in ("2", "3"),
    "socket_keepalive": _is_switch,
    "ssl_ca_certs": bool,
    "ssl_ca_path": bool,
    "ssl_cert_reqs": lambda text: text in ("none", "optional", "required"),
    "ssl_certfile": _is_file,
    "ssl_check_hostname": _is_switch,
    "ssl_keyfile": _is_file,
}
