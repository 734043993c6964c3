"""What a process is told from outside: validated whole, secrets kept, errors of one line."""

import base64
import secrets
from typing import Any

import pytest
from pydantic import ValidationError

from bandit_service.settings import Settings, check_variables, describe, is_loopback, parse_signing_keys

KEY = base64.b64encode(bytes(range(128, 160))).decode()
NEEDED = {
    "redis_url": "redis://:s3cr3t-redis@localhost:6379/0",
    "postgres_dsn": "postgresql://bandit:s3cr3t-postgres@localhost:5432/bandit",
    "signing_keys": f"k1:{KEY}",
}


def settings(**changes: Any) -> Settings:
    return Settings(**{**NEEDED, **changes})


def refusal(**changes: Any) -> str:
    """Why settings are refused, as the command prints it."""
    with pytest.raises(ValidationError) as caught:
        settings(**changes)
    return describe(caught.value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**NEEDED, "port": "9000"}.items():
        monkeypatch.setenv(f"BANDIT_{name.upper()}", value)
    assert Settings().port == 9000  # type: ignore[call-arg]


def test_what_is_missing_is_named_together_with_how_to_make_it() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings()  # type: ignore[call-arg]
    message = describe(caught.value)
    assert "BANDIT_REDIS_URL is not set" in message
    assert "BANDIT_POSTGRES_DSN is not set" in message
    assert "BANDIT_SIGNING_KEYS is not set; make one with `bandit-service keys signing`" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "meant"),
    [("BANDIT_REDIS_URI", "BANDIT_REDIS_URL"), ("BANDIT_KEEP_EVENT_DAYS", "BANDIT_KEEP_EVENTS_DAYS")],
)
def test_a_misspelt_variable_is_an_error(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is no setting: did you mean {meant}"):
        check_variables({name})


def test_other_variables_are_left_alone() -> None:
    links = {"BANDIT_PORT", "BANDIT_PORT_8000_TCP_ADDR", "BANDIT_SERVICE_PORT", "BANDIT_REDIS_SERVICE_HOST"}
    check_variables(links | {"BANDIT_S3_BUCKET", "BANDIT_URL", "BANDIT_API_KEY", "PATH"})


def test_the_line_break_of_a_file_is_left_out() -> None:
    read = settings(**{name: f"{value}\n" for name, value in NEEDED.items()})
    assert read.redis_url.get_secret_value() == NEEDED["redis_url"]
    assert read.postgres_dsn.get_secret_value() == NEEDED["postgres_dsn"]


def test_secrets_are_not_in_the_text_of_settings() -> None:
    text = repr(settings()) + str(settings())
    assert "s3cr3t" not in text
    assert KEY not in text


def test_secrets_are_not_in_errors() -> None:
    with pytest.raises(ValidationError) as caught:
        settings(redis_url="http://:s3cr3t-redis@localhost", postgres_dsn="s3cr3t-dsn", signing_keys="k1:s3cr3t")
    assert "s3cr3t" not in describe(caught.value) + str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"redis_url": "http://localhost"}, "BANDIT_REDIS_URL must be a URL such as redis://"),
        ({"redis_url": "redis://localhost:port"}, "BANDIT_REDIS_URL"),
        ({"redis_url": "redis://:changeme@localhost"}, "placeholder"),
        ({"postgres_dsn": "localhost"}, "BANDIT_POSTGRES_DSN must be a connection string"),
        ({"postgres_dsn": ""}, "BANDIT_POSTGRES_DSN must not be empty"),
        ({"postgres_dsn": "postgresql://bandit:<password>@localhost/x"}, "placeholder"),
        ({"postgres_dsn": "host=localhost password=CHANGE_ME"}, "placeholder"),
        ({"signing_keys": ""}, "at least one key"),
        ({"signing_keys": "secret"}, "k1:BASE64"),
        ({"signing_keys": f"k256:{KEY}"}, "up to 255"),
        ({"signing_keys": f"k1:{KEY},k1:{KEY}"}, "twice"),
        ({"signing_keys": "k1:c2hvcnQ="}, "16 to 64 bytes"),
        ({"signing_keys": "k1:changemechangemechangemechangeme"}, "placeholder"),
        ({"signing_keys": "k1:" + base64.b64encode(b"my secret signing key").decode()}, "not random"),
        ({"signing_keys": "k1:" + base64.b64encode(b"\xff" * 32).decode()}, "not random"),
        ({"port": 70_000}, "BANDIT_PORT"),
        (
            {"port": "tcp://10.96.0.7:8000"},
            "BANDIT_PORT holds a URL: Kubernetes sets it so for a Service called 'bandit'",
        ),
        ({"keep_alive": 0}, "BANDIT_KEEP_ALIVE"),
        ({"root_path": "bandit"}, "BANDIT_ROOT_PATH"),
        ({"metrics_token": "fifteen-letters\n"}, "BANDIT_METRICS_TOKEN"),
        ({"metrics_token": "sixteen letters é"}, "BANDIT_METRICS_TOKEN must be printable ASCII"),
        ({"redis_url": "redis://localhost/abc"}, "BANDIT_REDIS_URL must end in the number of a database"),
        ({"log_format": "xml"}, "BANDIT_LOG_FORMAT"),
        ({"postgres_pool_min": 9, "postgres_pool_max": 8}, "postgres_pool_min"),
        ({"redis_timeout": 0}, "BANDIT_REDIS_TIMEOUT"),
        ({"max_body_bytes": 0}, "BANDIT_MAX_BODY_BYTES"),
        ({"max_connections": 0}, "BANDIT_MAX_CONNECTIONS"),
        ({"client_timeout": 0}, "BANDIT_CLIENT_TIMEOUT"),
        ({"rate_limit": -1}, "BANDIT_RATE_LIMIT"),
        ({"rate_limit": 1e-9}, "rate_limit must be 0 (no limit) or at least 0.001"),
        ({"rate_limit_burst": 0.5}, "BANDIT_RATE_LIMIT_BURST"),
    ],
)
def test_wrong_settings_are_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(**changes)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 (judged, not bound to)
        ("::", False),
        ("", False),
        ("10.0.0.4", False),
        ("bandit.internal", False),
    ],
)
def test_authentication_is_off_on_loopback_only(host: str, loopback: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) == loopback
    assert settings(host=host).authenticates != loopback


def test_authentication_can_be_asked_for_on_loopback() -> None:
    assert settings(auth_required=True).authenticates


def test_authentication_cannot_be_turned_off_for_the_world() -> None:
    assert "loopback" in refusal(auth_required=False, host="10.0.0.4")


def test_the_first_signing_key_signs_and_all_keep_their_numbers() -> None:
    new, old = secrets.token_bytes(32), secrets.token_bytes(16)
    text = f" k7:{base64.b64encode(new).decode()} , k3:{base64.urlsafe_b64encode(old).decode().rstrip('=')}"
    assert list(parse_signing_keys(text).items()) == [(7, new), (3, old)]
    assert settings(signing_keys=text).decision_keys == {7: new, 3: old}


def test_line_breaks_of_files_are_left_out() -> None:
    found = settings(
        host="127.0.0.1\n", root_path="/bandit/\n", metrics_token=" sixteen-letters-\r\n", host_names="a\n"
    )
    assert (found.host, found.root_path, found.host_names) == ("127.0.0.1", "/bandit", "a")
    assert found.metrics_token is not None
    assert found.metrics_token.get_secret_value() == "sixteen-letters-"
