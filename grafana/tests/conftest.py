"""The platform for all tests: real Valkey, Postgres and service, with an experiment that has seen everything."""

import asyncio
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
from bandit_service.ledger.pool import make_pool
from bandit_service.ledger.sample_ratios import SampleRatios
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

# A rule that looks at the policy against its holdout, and rewards that are any number.
_OTHERS: dict[str, dict[str, Any]] = {
    "shop.value": {
        "holdout": 0.3,
        "control_arm": "a",
        "stopping": {"prob_best": None, "prob_better": 0.99, "min_decisions_per_arm": 0, "auto_conclude": False},
    },
    "shop.basket": {"rewards": {"distribution": "gaussian", "unit": 10.0}},
}

# Priors whose densities are infinite at both ends.
_WEAK = [{"id": "x", "prior": {"alpha": 0.1, "beta": 0.1}}, {"id": "y", "prior": {"alpha": 0.1, "beta": 0.3}}]

type Rows = list[dict[str, Any]]
type Ask = Callable[..., Rows]


@dataclass(frozen=True, slots=True)
class Platform:
    """A service that runs, its database, and what the service said of each experiment before one was concluded."""

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
            _post(client, "/experiments", {"experiment_id": "idle", "arms": _WEAK})
            for name, settings in _OTHERS.items():
                _post(client, "/experiments", {"experiment_id": name, "arms": ["a", "b"]} | settings)
                _serve_units(client, name)
            _serve(client, rounds=4, decisions=250)
            _wait_for_postgres(dsn)
            for name in (EXPERIMENT, *_OTHERS):
                _post(client, f"/experiments/{name}/snapshots", {})
            asyncio.run(_count_draws(dsn))
            reports = {
                name: {
                    view: client.get(f"/experiments/{name}/{view}").raise_for_status().json()
                    for view in ("posterior", "conclusion", "allocation")
                }
                for name in (EXPERIMENT, *_OTHERS, "idle")
            }
            for action in ("pause", "resume", "conclude"):
                _post(
                    client,
                    f"/experiments/{EXPERIMENT}/{action}",
                    {"reason": f"a test of {action}"} | ({"winner": "b"} if action == "conclude" else {}),
                )
            _evaluate(client)
            _let_readers_in(dsn)
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
            open_one.execute("SET LOCAL ROLE bandit_reader")
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


def _wait_for_postgres(dsn: str, seconds: float = 60.0) -> None:
    """Wait until every event is in Postgres and weights follow."""
    deadline = time.monotonic() + seconds
    arrived = (
        "SELECT (SELECT count(*) = 2800 FROM bandit_events)"
        " AND (SELECT max(published_at) < clock_timestamp() - interval '3 seconds' FROM weights)"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not connection.execute(arrived).fetchall()[0][0]:
            assert time.monotonic() < deadline, "the events did not come to Postgres"
            time.sleep(0.05)


def _serve_units(client: httpx.Client, name: str) -> None:
    """Let 200 units come, each decision rewarded: around 20 for arm a and 22 for b if gaussian, else at times."""
    rng, is_gaussian = np.random.default_rng(6), "rewards" in _OTHERS[name]
    items = [{"experiment_id": name, "unit_id": f"u{number}"} for number in range(200)]
    served = [item["result"] for item in _post(client, "/select/batch", {"items": items})["items"]]
    rewards = [
        {
            "decision_id": each["decision_id"],
            "reward": rng.normal(20 if each["arm"] == "a" else 22, 5) if is_gaussian else float(rng.random() < 0.3),
        }
        for each in served
    ]
    _post(client, "/reward/batch", {"items": rewards})


async def _count_draws(dsn: str) -> None:
    """Bring the sample ratio up to date, as the service does every 20 seconds."""
    async with make_pool(dsn) as pool:
        await SampleRatios(pool).update([EXPERIMENT, *_OTHERS])


def _evaluate(client: httpx.Client) -> None:
    """Leave an evaluation as the pipeline leaves it: a policy whose truth is known, and one whose is not."""
    known = {"std_error": 0.0009, "low": 0.0028, "high": 0.0064, "on_policy_value": 0.0042, "relative_error": 0.07}
    both = {"behavior_policy": "random", "method": "dr", "n": 10_000, "coverage": 1.0}
    results = [
        both | {"evaluation_policy": "bts", "estimate": 0.0045, "ess": 700.0} | known,
        both | {"evaluation_policy": "uniform", "estimate": 0.0046, "ess": 10_000.0},
    ]
    _post(client, "/experiments/obp-women/evaluations", {"dataset": "obp/women", "digest": "x", "results": results})


def _let_readers_in(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute((FOLDER.parent / "reader.sql").read_bytes())
