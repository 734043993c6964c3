"""Hands events to the recorder, and turns what it says into what a client is told."""

from __future__ import annotations

import asyncio

from bandit_core.rules.problems import Expired, Invalid, TooMany, Unavailable
from bandit_service.domain.event import Event
from bandit_service.spool.answers import Answer, Duplicate, Refused, TooManyWaitingError, UnrecordedError
from bandit_service.spool.recorder import Recorder


class Recording:
    """The recorder as endpoints use it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        # Hands in events of a decision; the future tells whether they are recorded.
        self.record = recorder.record

    def decide(
        self, event: Event, *, respond_async: bool = False, may_wait: bool = True
    ) -> asyncio.Future[list[Answer]]:
        """Hand in an event of which the first of its key decides, to be waited for with `answered`.

        Args:
            event: What is to be decided.
            respond_async: Have it queued at once.
            may_wait: Whether it may be acknowledged before the ledger has decided.

        Raises:
            TooMany: more waits than this process may keep.
        """
        try:
            return self._recorder.decide([event], respond_async=respond_async, may_wait=may_wait)
        except TooManyWaitingError:
            raise TooMany("too many events wait for the stores; try again later", retry_after=1) from None

    async def answered(self, answers: asyncio.Future[list[Answer]]) -> list[Answer]:
        """Wait for what became of an event.

        Raises:
            Unavailable: no store took it in time; it may have been written all the same, so it may be sent again.
            Expired, Invalid: it was refused.
        """
        try:
            found = await answers
        except UnrecordedError:
            raise Unavailable("neither Postgres nor the store answers in time", retry_after=1) from None
        for answer in found:
            if isinstance(answer, Refused):
                if answer.reason == "too old":
                    raise Expired("the decision is older than the events that are kept")
                raise Invalid(f"the event cannot be stored: {answer.reason}")
        return found

    async def first(self, event: Event) -> Duplicate | None:
        """Return the event that has the key of this one, as what this one would be; None if there is none.

        Raises:
            Unavailable: Postgres does not answer.
        """
        try:
            return await self._recorder.first(event)
        except UnrecordedError:
            raise Unavailable(
                "Postgres does not answer, and it knows whether there was a reward", retry_after=1
            ) from None

    async def decided(self, event: Event, *, may_wait: bool = True) -> list[Answer]:
        """Hand in an event of which the first of its key decides, and wait for what became of it."""
        return await self.answered(self.decide(event, may_wait=may_wait))
