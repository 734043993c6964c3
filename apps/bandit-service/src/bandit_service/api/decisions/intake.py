"""Where every request about an experiment comes in: found, admitted, and its event handed in for commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bandit_service.domain.api_key import Principal
from bandit_service.domain.problems import NotFound, TooMany, Unavailable
from bandit_service.events.committer import Committer, QueueFullError
from bandit_service.events.lane import Lane
from bandit_service.events.operations import UNRECORDED, Operation
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.serving.directory import Directory
from bandit_service.serving.serving import Serving

_OPENING_SECONDS = 1.0


class Intake:
    """Finds experiments for callers, and hands operations in. `settled` waits until a lane and the store agree."""

    def __init__(
        self, *, directory: Directory, committer: Committer, settled: Callable[[Lane], Awaitable[None]]
    ) -> None:
        self._directory = directory
        self._committer = committer
        self._settled = settled

    async def serving(self, experiment_id: str, principal: Principal) -> Serving:
        """Return the experiment if the caller may use it.

        Raises:
            NotFound: there is none of that id, or it belongs to a namespace the key may not see.
            Unavailable: nobody can be asked.
        """
        serving = self._directory.get(experiment_id) or await self._open(experiment_id)
        if serving is None or not principal.sees(serving.experiment.namespace):
            raise NotFound(f"there is no experiment {experiment_id!r}")
        return serving

    def lane(self, serving: Serving) -> Lane:
        return self._committer.lane(serving.experiment.id, serving.experiment.reward_window)

    def try_submit(self, operation: Operation, serving: Serving) -> asyncio.Future[int] | None:
        """Hand in an operation whose caller can do without its outcome; None if there is no room for it."""
        try:
            return self._committer.submit(self.lane(serving), operation)
        except QueueFullError:
            return None

    def submit(self, operation: Operation, serving: Serving) -> asyncio.Future[int]:
        """Hand in an operation whose caller must know the outcome.

        Raises:
            TooMany: more waits for the store than this process may hold.
        """
        future = self.try_submit(operation, serving)
        if future is None:
            raise TooMany("too much waits for the store; try again later", retry_after=1)
        return future

    async def outcome(self, future: asyncio.Future[int]) -> int:
        """Return what became of an operation.

        Raises:
            Unavailable: the store does not answer; nothing is promised about the operation.
        """
        outcome = await future
        if outcome == UNRECORDED:
            raise Unavailable("the store does not answer", retry_after=1)
        return outcome

    async def check_remembers(self, serving: Serving) -> None:
        """Return if what the store has just said it does not know did not happen.

        Raises:
            Unavailable: it may have forgotten; another process may still have to tell it again.
        """
        if not await self._committer.is_the_same_store() or self.lane(serving).recovering:
            raise Unavailable("the store is being refilled", retry_after=1)

    async def _open(self, experiment_id: str) -> Serving | None:
        """Bring an experiment into memory, and let its queue find out where the store stands, before its first use."""
        try:
            serving = await self._directory.find(experiment_id)
        except PostgresUnavailableError:
            raise Unavailable("neither the store nor Postgres can be asked for the experiment", retry_after=1) from None
        if serving is not None:
            await asyncio.wait([asyncio.ensure_future(self._settled(self.lane(serving)))], timeout=_OPENING_SECONDS)
        return serving
