"""What the documents name exists under that name: metrics, log events, commands, and the test of each promise."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bandit_service
from bandit_service.cli import app
from bandit_service.metrics import Metrics

SOURCE = Path(bandit_service.__file__).parent
TESTS = Path(__file__).parents[1]
DOCUMENTS = Path(__file__).parents[4] / "docs"
PAGE = DOCUMENTS / "operations.md"


@pytest.fixture(scope="module")
def quoted() -> set[str]:
    """Everything the page puts in backticks."""
    return set(re.findall(r"`([^`\n]+)`", PAGE.read_text()))


def test_every_metric_exists(quoted: set[str]) -> None:
    tables = {"bandit_events", "bandit_events_default"}
    named = {match[0] for text in quoted if (match := re.match(r"bandit_\w+", text))} - tables
    exported = set(re.findall(r"# TYPE (\w+)", Metrics().render().decode()))
    assert named
    assert named <= exported


def test_every_log_event_exists(quoted: set[str]) -> None:
    logged = {event for file in SOURCE.rglob("*.py") for event in re.findall(r'log\.\w+\(\s*"(\w+)"', file.read_text())}
    events = {
        "api_keys_not_mirrored", "api_keys_not_refreshed", "appending_failed", "asking_failed",
        "background_step_failed", "claiming_failed", "declared_dead", "events_still_needed",
        "experiment_not_looked_after", "failover", "heartbeat_failed", "ledger_unavailable", "lost_processes",
        "mirror_away", "not_in_force_yet",
        "not_mirrored_yet", "partition_not_created", "pickup_failed", "recording_failed", "request_failed",
        "spool_beat_failed", "spool_unavailable", "stream_taken_over",
    }  # fmt: skip
    assert events <= quoted, "the page and this list belong together"
    assert events <= logged


def test_every_command_exists() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    for name in set(re.findall(r"bandit-service (\w[\w-]*)", PAGE.read_text())):
        assert re.search(rf"\b{name}\b", shown), name


def test_the_test_of_every_promise_exists() -> None:
    links = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (DOCUMENTS / "architecture.md").read_text())
    assert links
    for file, name in links:
        assert f"def {name}(" in (TESTS / file).read_text(), f"{file}::{name}"
