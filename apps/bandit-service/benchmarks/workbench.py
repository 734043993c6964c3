"""What a benchmark asks of a running service beside the load: experiments, decisions to reward, and a moment's rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, cast

import httpx
import msgspec
import psycopg

from benchmarks.contextual import Shape, teach
from benchmarks.load.traffic import LoadError

_JSON: Final = {"Content-Type": "application/json"}
_AT_ONCE: Final = 1_000
_SETTLE_TIMEOUT: Final = 120.0
_FIRST_WEIGHTS_TIMEOUT: Final = 10.0
_RECORDED: Final = "SELECT coalesce(sum(decisions + rewards), 0) FROM arm_totals WHERE experiment_id = %s"
_PUBLISHED: Final = "SELECT coalesce(sum(version), 0)::bigint FROM weights"
# Longer than it takes until a reward is in the published models.
_UNCHANGED_SECONDS: Final = 3.0
# Every event that a process received until then.
_IS_WRITTEN: Final = "SELECT (NOT EXISTS (SELECT FROM producers WHERE drained_to < to_timestamp(%s)))::int"


@dataclass(frozen=True, slots=True)
class Workbench:
    """A service's management side, and what Postgres has of its experiments."""

    service: httpx.Client
    postgres: psycopg.Connection

    def create(self, experiment_id: str, arms: int = 4) -> None:
        """Create an experiment and wait until decisions for it are served and recorded."""
        names = [f"arm-{index}" for index in range(arms)]
        body = {"experiment_id": experiment_id, "arms": names, "guardrails": {"preset": "neutral"}}
        self._ask("/experiments", body)
        deadline = time.monotonic() + _FIRST_WEIGHTS_TIMEOUT
        while not self._serves(experiment_id):
            if time.monotonic() > deadline:
                raise LoadError(f"the service does not record decisions for {experiment_id}")
            time.sleep(0.05)

    def teach(self, shapes: Sequence[Shape]) -> None:
        """Create contextual experiments, and wait until decisions are drawn from what they have learnt."""
        teach(self._ask, shapes)
        deadline, seen, since = time.monotonic() + _SETTLE_TIMEOUT, 0, time.monotonic()
        while time.monotonic() - since < _UNCHANGED_SECONDS or seen < 2 * len({each.experiment_id for each in shapes}):
            if time.monotonic() > deadline:
                raise LoadError("the service does not publish what contextual experiments have learnt")
            published = self._number(_PUBLISHED)
            if published != seen:
                seen, since = published, time.monotonic()
            time.sleep(0.1)

    def issue(self, experiment_id: str, count: int) -> list[str]:
        """Return that many new decisions, each of which may be rewarded once."""
        ids: list[str] = []
        while len(ids) < count:
            items = [{"experiment_id": experiment_id}] * min(_AT_ONCE, count - len(ids))
            ids += [item["result"]["decision_id"] for item in self._ask("/select/batch", {"items": items})["items"]]
        return ids

    def experiments(self) -> int:
        """Return how many experiments there are."""
        return self._number("SELECT count(*) FROM experiments")

    def recorded(self, experiment_id: str) -> int:
        """Return how many decisions and rewards of an experiment Postgres has."""
        return self._number(_RECORDED, experiment_id)

    def wait_until_written(self) -> float:
        """Wait until Postgres has every event, so that no work is left for the next measurement; return the seconds."""
        started, now = time.monotonic(), time.time()
        while not self._number(_IS_WRITTEN, now):
            if time.monotonic() - started > _SETTLE_TIMEOUT:
                raise LoadError("events do not reach Postgres")
            time.sleep(0.05)
        return time.monotonic() - started

    def _serves(self, experiment_id: str) -> bool:
        try:
            return bool(self._ask("/select", {"experiment_id": experiment_id})["recorded"])
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                raise
            return False

    def _number(self, query: LiteralString, *parameters: object) -> int:
        row = self.postgres.execute(query, parameters).fetchone()
        return int(row[0]) if row else 0

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.service.post(path, content=msgspec.json.encode(body), headers=_JSON).raise_for_status()
        return cast("dict[str, Any]", msgspec.json.decode(answer.content))
