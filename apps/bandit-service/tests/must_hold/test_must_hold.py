"""After a mixed run over real HTTP, beliefs equal what clients were told, to the millionth; and so after a rebuild."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import redis

if TYPE_CHECKING:
    from conftest import Serve
    from must_hold.conftest import Clients, Ledger

    from bandit_service.settings import Settings

type Beliefs = dict[tuple[str, str], tuple[int, int, int, int]]

# The windows of "open" are left open over the rebuild.
CLOSING_SOON = ["plain", "graded", "zeros", "brief", "shop.sticky"]
ALL = [*CLOSING_SOON, "open"]
EVENTS = """
    SELECT experiment_id, decision_id, kind, arm_index, stratum, propensity, weights_version,
        counted AND kind IN ('reward', 'outcome') AND stratum <> 'holdout'
    FROM bandit_events
"""
# Every event that was received until then is in Postgres, and nothing of the experiments waits.
AT_REST = """
    SELECT (SELECT min(drained_to) FROM producers) > to_timestamp(%(until)s)
        AND NOT EXISTS (SELECT FROM unsettled WHERE experiment_id = ANY(%(names)s))
        AND NOT EXISTS (SELECT FROM open_buckets WHERE experiment_id = ANY(%(names)s))
"""
SUMS = "SELECT experiment_id, arm_index, alpha_micro, beta_micro FROM arm_posteriors WHERE experiment_id = ANY(%s)"
WEIGHTS = "SELECT experiment_id, weights_version, weights FROM allocations"


class Witness:
    """Reads what the service believes and has logged, past the service."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._redis = redis.Redis.from_url(settings.redis_url.get_secret_value(), decode_responses=True)
        self._dsn = settings.postgres_dsn.get_secret_value()
        self._url = url

    def beliefs(self, experiments: list[str]) -> Beliefs:
        """Return alpha and beta from their documented keys, and the counts of decisions and rewards."""
        return {
            (experiment, arm["arm"]): (
                self._micro(experiment, arm["index"], "alpha"),
                self._micro(experiment, arm["index"], "beta"),
                arm["decisions"],
                arm["rewards"],
            )
            for experiment in experiments
            for arm in self._arms(experiment)
        }

    def wait(self, experiments: list[str], seconds: float = 60.0) -> None:
        """Wait until every window has closed, every event is in Postgres, and Redis says the same."""
        until, deadline = time.time(), time.monotonic() + seconds
        while not (self._is_at_rest(experiments, until) and self._is_mirrored(experiments)):
            assert time.monotonic() < deadline, "windows stay open, or events do not reach Postgres, or sums not Redis"
            time.sleep(0.05)

    def wait_for_the_mirror(self, experiments: list[str], seconds: float = 60.0) -> None:
        """Wait until Redis has got back what Postgres says."""
        deadline = time.monotonic() + seconds
        while not self._is_mirrored(experiments):
            assert time.monotonic() < deadline, "Redis does not get its sums back"
            time.sleep(0.05)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def forget_everything(self) -> None:
        self._redis.flushall()

    def close(self) -> None:
        self._redis.close()

    def _arms(self, experiment: str, seconds: float = 30.0) -> list[dict[str, Any]]:
        deadline = time.monotonic() + seconds
        while True:
            response = httpx.get(f"{self._url}/experiments/{experiment}/posterior")
            if response.status_code != 503 or time.monotonic() > deadline:
                found: list[dict[str, Any]] = response.raise_for_status().json()["arms"]
                return found
            time.sleep(0.1)

    def _micro(self, experiment: str, arm: int, name: str) -> int:
        return int(str(self._redis.get(f"experiment:{{{experiment}}}:arm:{arm}:{name}")))

    def _is_at_rest(self, experiments: list[str], until: float) -> bool:
        with psycopg.connect(self._dsn) as connection:
            return connection.execute(AT_REST, {"names": experiments, "until": until}).fetchone() == (True,)

    def _is_mirrored(self, experiments: list[str]) -> bool:
        with psycopg.connect(self._dsn) as connection:
            rows = connection.execute(SUMS, [experiments]).fetchall()
        return all(
            self._redis.get(f"experiment:{{{name}}}:arm:{arm}:{letter}") == str(micro)
            for name, arm, alpha, beta in rows
            for letter, micro in (("alpha", alpha), ("beta", beta))
        )


@dataclass(frozen=True)
class Run:
    """What clients were told, what was believed before and after the rebuild, and what was logged."""

    ledger: Ledger
    before: Beliefs
    after: Beliefs
    in_the_end: Beliefs
    events: list[tuple[Any, ...]]
    weights: dict[tuple[str, int], dict[str, float]]


@pytest.fixture(scope="module")
async def run(serve: Serve, module_settings: Settings, clients: Clients) -> Run:
    with serve(module_settings) as url:
        witness = Witness(module_settings, url)
        await clients.mix(url)
        witness.wait(CLOSING_SOON)
        before = witness.beliefs(CLOSING_SOON)
        await clients.leave_windows_open(url)
    witness.forget_everything()
    witness.close()
    with serve(module_settings) as url:
        witness = Witness(module_settings, url)
        witness.wait_for_the_mirror(CLOSING_SOON)
        after = witness.beliefs(CLOSING_SOON)
        await clients.repeat(url)
        witness.wait(ALL)
        in_the_end = witness.beliefs(ALL)
        weights = {(name, version): found for name, version, found in witness.rows(WEIGHTS)}
        events = witness.rows(EVENTS)
    witness.close()
    return Run(clients.ledger, before, after, in_the_end, events, weights)


def test_the_run_was_mixed(run: Run) -> None:
    ledger = run.ledger
    assert {told["stratum"] for told in ledger.decisions.values()} == {"bandit", "holdout", "paused"}
    assert len(ledger.decisions) > 300
    assert len({told["weights_version"] for told in ledger.decisions.values()}) > 2
    assert ledger.late
    assert ledger.activated
    assert ledger.deferred - ledger.activated
    assert None in ledger.outcomes.values()
    assert any(micro not in (0, 1_000_000, None) for micro in ledger.outcomes.values())


def test_beliefs_are_what_clients_were_told_to_the_millionth(run: Run) -> None:
    assert run.before == run.ledger.fold(CLOSING_SOON)


def test_beliefs_rebuilt_from_postgres_are_the_same(run: Run) -> None:
    assert run.after == run.ledger.fold(CLOSING_SOON)


def test_windows_that_were_open_at_the_rebuild_close_as_if_nothing_had_happened(run: Run) -> None:
    assert run.in_the_end == run.ledger.fold(ALL)


def test_every_decision_is_logged_once_with_what_the_client_was_told(run: Run) -> None:
    logged = [event for event in run.events if event[2] == "decision"]
    said = {(event[0], event[1]): event[3:7] for event in logged}
    assert len(said) == len(logged)
    assert said == {
        key: (told["arm_index"], told["stratum"], told["propensity"], told["weights_version"])
        for key, told in run.ledger.decisions.items()
    }


def test_the_logged_propensity_is_the_weight_that_was_drawn_with(run: Run) -> None:
    """That of its version, or its share of those not retired yet, until the next version is published."""
    compared = 0
    for told in run.ledger.decisions.values():
        weights = run.weights.get((told["experiment_id"], told["weights_version"]))
        if told["stratum"] == "bandit" and weights is not None:
            weight = weights[told["arm"]]
            shares = [weight] + [weight / (1.0 - gone) for arm, gone in weights.items() if arm != told["arm"]]
            assert any(told["propensity"] == pytest.approx(share, rel=1e-12) for share in shares)
            compared += told["propensity"] == weight
    assert compared > 100


def test_exactly_the_events_that_count_changed_beliefs(run: Run) -> None:
    counted = sum(event[7] for event in run.events)
    assert counted == sum(rewards for _, _, _, rewards in run.in_the_end.values())
