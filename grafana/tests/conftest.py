"""The platform for all tests: real Valkey, Postgres and service, with an experiment that has seen everything."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest
from psycopg.rows import dict_row

from bandit_local.options import Options
from bandit_local.servers.local_server import free_port
from bandit_local.stack import running_stack
from bandit_local.testing.servers import MIGRATED, NewDatabase
from dashboards.generate import FOLDER
from dashboards.macros import expanded

EXPERIMENT = "shop.banner"
_RATES = {"a": 0.05, "b": 0.15, "c": 0.10}
_STOPPING = {
    "min_decisions": 5_000,
    "min_decisions_per_arm": 1_000,
    "prob_best": 0.9999,
    "expected_loss": 0.0001,
    "max_duration": 1_000_000.0,
    "auto_conclude": False,
}

type Rows = list[dict[str, Any]]
type Ask = Callable[..., Rows]


@dataclass(frozen=True, slots=True)
class Platform:
    """A service that runs, its database, and what the service itself said of the experiment before it was concluded."""

    client: httpx.Client
    dsn: str
    experiment: str
    reports: dict[str, Any]

    def metrics(self) -> str:
        return self.client.get("/metrics").raise_for_status().text

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """Lend a connection whose changes nobody else sees and nobody keeps."""
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            yield connection
            connection.rollback()


@pytest.fixture(scope="session")
def platform(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    with new_database(MIGRATED) as dsn:
        options = Options(data=folder, port=free_port(), postgres_dsn=dsn)
        with running_stack(options) as stack, httpx.Client(base_url=stack.url, timeout=30.0) as client:
            _post(
                client,
                "/experiments",
                {
                    "experiment_id": EXPERIMENT,
                    "arms": list(_RATES),
                    "stopping": _STOPPING,
                    "update_every": 0.05,
                    "guardrails": {"preset": "explore"},
                },
            )
            _post(client, "/experiments", {"experiment_id": "idle", "arms": ["x", "y"]})
            _serve(client, rounds=4, decisions=250)
            _wait_for_postgres(dsn)
            reports = {
                view: client.get(f"/experiments/{EXPERIMENT}/{view}").json() for view in ("posterior", "conclusion")
            }
            for action in ("pause", "resume", "conclude"):
                _post(
                    client,
                    f"/experiments/{EXPERIMENT}/{action}",
                    {"reason": f"a test of {action}"} | ({"winner": "b"} if action == "conclude" else {}),
                )
            _evaluate(dsn)
            _let_grafana_read(dsn)
            yield Platform(client, dsn, EXPERIMENT, reports)


@pytest.fixture(scope="session")
def ask(platform: Platform) -> Ask:
    """Return a function that runs a query as Grafana would and with its rights, over the last hour."""

    def run(sql: str, connection: psycopg.Connection[dict[str, Any]] | None = None, **variables: str) -> Rows:
        now = datetime.now(UTC)
        values = {"namespace": ["shop"], "experiment": [EXPERIMENT], "dataset": ["obp/women"], "method": ["dr"]} | {
            name: [one] for name, one in variables.items()
        }
        statement = expanded(sql, values, start=now - timedelta(hours=1), end=now)
        with platform.transaction() if connection is None else nullcontext(connection) as open_one:
            open_one.execute("SET LOCAL ROLE bandit_grafana")
            return open_one.execute(statement.encode()).fetchall()

    return run


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, json=body).raise_for_status().json()


def _serve(client: httpx.Client, *, rounds: int, decisions: int) -> None:
    """Let visitors come in rounds, each arm rewarded at its rate, so that the weights move in between."""
    rng = np.random.default_rng(5)
    for _ in range(rounds):
        answer = _post(client, "/select/batch", {"items": [{"experiment_id": EXPERIMENT}] * decisions})
        served = [item["result"] for item in answer["items"]]
        rewards = [
            {"decision_id": each["decision_id"], "reward": float(rng.random() < _RATES[each["arm"]])} for each in served
        ]
        _post(client, "/reward/batch", {"items": rewards})
        time.sleep(0.15)


def _wait_for_postgres(dsn: str, seconds: float = 20.0) -> None:
    """Wait until every event is in Postgres and weights follow, and take a snapshot as the pipeline takes it."""
    deadline = time.monotonic() + seconds
    arrived = (
        "SELECT (SELECT count(*) = 2000 FROM bandit_events)"
        " AND (SELECT max(published_at) < clock_timestamp() - interval '2 seconds' FROM weights)"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not connection.execute(arrived).fetchall()[0][0]:
            assert time.monotonic() < deadline, "the events did not come to Postgres"
            time.sleep(0.05)
        connection.execute("SELECT take_posterior_snapshot(%s)", [EXPERIMENT])


def _evaluate(dsn: str) -> None:
    """Leave an evaluation as the pipeline leaves it: a policy whose truth is known, and one whose is not."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO ope_results (dataset, behavior_policy, evaluation_policy, method, estimate, std_error, low, "
            "high, n, ess, coverage, on_policy_value, on_policy_std_error, relative_error, warnings, digest) VALUES "
            "('obp/women', 'random', 'bts', 'dr', 0.0045, 0.0009, 0.0028, 0.0064, 10000, 700, 1, 0.0042, 0.0006, 0.07, "
            "'', 'a digest'), "
            "('obp/women', 'random', 'uniform', 'dr', 0.0046, 0.0007, NULL, NULL, 10000, 10000, 1, NULL, NULL, NULL, "
            "'', 'a digest')"
        )


def _let_grafana_read(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute((FOLDER.parent / "reader.sql").read_bytes())
