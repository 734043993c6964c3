"""Managing experiments: what both clients offer as `client.experiments`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from bandit_sdk import requests
from bandit_sdk.requests import Call
from bandit_sdk.results import Evaluation, Experiment, ExperimentPage, ExperimentSummary, Plan, Snapshot, Status

_PAGE: Final = 1_000


class Send(Protocol):
    """Sends a request and returns its result."""

    def __call__[T](self, call: Call[T]) -> T: ...


class AsyncSend(Protocol):
    """Sends a request; its result is to be awaited."""

    async def __call__[T](self, call: Call[T]) -> T: ...


class Experiments:
    """The experiments of a service. Reading needs a reader's key, everything else an admin's.

    Every change carries a `reason`, which the service records; with `expected_revision` it is refused (ConflictError)
    if another client has changed the experiment meanwhile.
    """

    def __init__(self, send: Send) -> None:
        self._send = send

    def create(self, experiment_id: str, **fields: Any) -> Experiment:  # noqa: ANN401 (as POST /experiments takes them)
        """Create an experiment, e.g. `create("homepage", arms=["a", "b"])`; it starts at once."""
        return self._send(requests.create_experiment(experiment_id, fields))

    def apply(self, experiment_id: str, *, reason: str, **fields: Any) -> Experiment:  # noqa: ANN401 (as PUT takes them)
        """Create an experiment, or make it what a file kept in Git says; the same file again changes nothing.

        From then on PATCH refuses the fields that are named. The status is never touched.
        """
        return self._send(requests.apply_experiment(experiment_id, reason, fields))

    def get(self, experiment_id: str) -> Experiment:
        """Return an experiment as it is now."""
        return self._send(requests.get_experiment(experiment_id))

    def list(
        self,
        *,
        status: Status | None = None,
        namespace: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ExperimentPage:
        """Return a page of experiments; pass its `next_cursor` for the next one."""
        wanted = {"status": status, "namespace": namespace, "limit": limit, "cursor": cursor}
        return self._send(requests.list_experiments(wanted))

    def every(self, *, status: Status | None = None, namespace: str | None = None) -> Iterator[ExperimentSummary]:
        """Yield all experiments, page after page."""
        cursor: str | None = None
        while True:
            page = self.list(status=status, namespace=namespace, limit=_PAGE, cursor=cursor)
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def patch(self, experiment_id: str, *, reason: str, **fields: Any) -> Experiment:  # noqa: ANN401 (as PATCH takes them)
        """Change settings; what is not named stays as it is, None clears."""
        return self._send(requests.patch_experiment(experiment_id, reason, fields))

    def pause(self, experiment_id: str, *, reason: str) -> Experiment:
        """Serve the default arm only, and change no belief."""
        return self._send(requests.change_state(experiment_id, "pause", reason))

    def resume(self, experiment_id: str, *, reason: str) -> Experiment:
        """Go on after a pause."""
        return self._send(requests.change_state(experiment_id, "resume", reason))

    def conclude(
        self, experiment_id: str, *, reason: str, winner: str | None = None, by_rule: bool = False
    ) -> Experiment:
        """End it and serve the winner from now on: the one named, or else the one of the stopping rule.

        With `by_rule` nothing changes unless its stopping rule says so now and may conclude by itself.
        """
        return self._send(requests.conclude(experiment_id, reason, winner, by_rule=by_rule))

    def plan(self, **fields: Any) -> Plan:  # noqa: ANN401 (what POST /plan takes)
        """Return what to expect of an experiment before it starts, by simulation: how it ends, when, what it costs.

        `fields` are those of POST /plan: arms, rate, lift, traffic, days, policy, guardrails, stopping, runs and seed.
        """
        return self._send(requests.plan(fields))

    def snapshot(self, experiment_id: str, *, min_events: int = 1) -> Snapshot:
        """Keep the posteriors of this moment, if so many decisions and rewards were counted since the last snapshot.

        Returns the newest snapshot: `taken` says whether it is this one.
        """
        return self._send(requests.snapshot(experiment_id, min_events))

    def keep_evaluation(
        self, experiment_id: str, *, dataset: str, digest: str, results: Sequence[Mapping[str, Any]]
    ) -> Evaluation:
        """Keep an off-policy evaluation of a log in the place of the one before of the same data set.

        `results` are as POST /experiments/{id}/evaluations takes them. A log from elsewhere is kept under an id of its
        own, which no experiment has to bear.
        """
        return self._send(requests.keep_evaluation(experiment_id, dataset, digest, results))

    def archive(self, experiment_id: str, *, reason: str) -> Experiment:
        """Serve it no longer, for good. Nothing is deleted."""
        return self._send(requests.archive_experiment(experiment_id, reason))


class AsyncExperiments:
    """As `Experiments`, to be awaited."""

    def __init__(self, send: AsyncSend) -> None:
        self._send = send

    async def create(self, experiment_id: str, **fields: Any) -> Experiment:  # noqa: ANN401 (as POST /experiments takes them)
        """As `Experiments.create`."""
        return await self._send(requests.create_experiment(experiment_id, fields))

    async def apply(self, experiment_id: str, *, reason: str, **fields: Any) -> Experiment:  # noqa: ANN401 (as PUT takes them)
        """As `Experiments.apply`."""
        return await self._send(requests.apply_experiment(experiment_id, reason, fields))

    async def get(self, experiment_id: str) -> Experiment:
        """As `Experiments.get`."""
        return await self._send(requests.get_experiment(experiment_id))

    async def list(
        self,
        *,
        status: Status | None = None,
        namespace: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ExperimentPage:
        """As `Experiments.list`."""
        wanted = {"status": status, "namespace": namespace, "limit": limit, "cursor": cursor}
        return await self._send(requests.list_experiments(wanted))

    async def every(
        self, *, status: Status | None = None, namespace: str | None = None
    ) -> AsyncIterator[ExperimentSummary]:
        """As `Experiments.every`."""
        cursor: str | None = None
        while True:
            page = await self.list(status=status, namespace=namespace, limit=_PAGE, cursor=cursor)
            for item in page.items:
                yield item
            if (cursor := page.next_cursor) is None:
                return

    async def patch(self, experiment_id: str, *, reason: str, **fields: Any) -> Experiment:  # noqa: ANN401 (as PATCH takes them)
        """As `Experiments.patch`."""
        return await self._send(requests.patch_experiment(experiment_id, reason, fields))

    async def pause(self, experiment_id: str, *, reason: str) -> Experiment:
        """As `Experiments.pause`."""
        return await self._send(requests.change_state(experiment_id, "pause", reason))

    async def resume(self, experiment_id: str, *, reason: str) -> Experiment:
        """As `Experiments.resume`."""
        return await self._send(requests.change_state(experiment_id, "resume", reason))

    async def conclude(
        self, experiment_id: str, *, reason: str, winner: str | None = None, by_rule: bool = False
    ) -> Experiment:
        """As `Experiments.conclude`."""
        return await self._send(requests.conclude(experiment_id, reason, winner, by_rule=by_rule))

    async def plan(self, **fields: Any) -> Plan:  # noqa: ANN401 (what POST /plan takes)
        """As `Experiments.plan`."""
        return await self._send(requests.plan(fields))

    async def snapshot(self, experiment_id: str, *, min_events: int = 1) -> Snapshot:
        """As `Experiments.snapshot`."""
        return await self._send(requests.snapshot(experiment_id, min_events))

    async def keep_evaluation(
        self, experiment_id: str, *, dataset: str, digest: str, results: Sequence[Mapping[str, Any]]
    ) -> Evaluation:
        """As `Experiments.keep_evaluation`."""
        return await self._send(requests.keep_evaluation(experiment_id, dataset, digest, results))

    async def archive(self, experiment_id: str, *, reason: str) -> Experiment:
        """As `Experiments.archive`."""
        return await self._send(requests.archive_experiment(experiment_id, reason))
