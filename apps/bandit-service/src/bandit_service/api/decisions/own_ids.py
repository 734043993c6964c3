"""Decisions under ids of callers' own: one decision an id, whichever process is asked, and however often."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from msgspec.structs import replace

from bandit_core.rules.decisions import DecisionClaims
from bandit_core.rules.problems import Unavailable
from bandit_service.api.decisions.recording import Recording
from bandit_service.api.decisions.resolver import own_claim
from bandit_service.domain.event import Event, decode_event, encode_event
from bandit_service.domain.own_decision import OwnDecision, decode_own_decision
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError
from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.mirror.own_ids import UNSURE, Claim, OwnIds
from bandit_service.spool.answers import Answer, Claimed, UnrecordedError

# The store spares the ledger a question; a claim that ran out is still found there.
_KEPT_SECONDS: Final = 90_000.0
# Claims that wait for the store, in one process.
_MOST_UNMIRRORED: Final = 10_000
_RETRY: Final = 0.2
log = structlog.get_logger(__name__)


class OwnIdDecisions:
    """Claims own ids: in the store, where other processes see the claim at once, and in the ledger, which decides."""

    def __init__(self, *, claims: OwnIds, recording: Recording) -> None:
        self._claims = claims
        self._recording = recording
        self._unmirrored: dict[str, Claim] = {}
        # Of ids that the ledger may have given: any other claim is as good.
        self._unsure: dict[str, Claim] = {}
        self._mirroring: asyncio.Task[None] | None = None

    async def decide(self, event: Event, claims: DecisionClaims) -> OwnDecision | None:
        """Record a decision under its own id; return the one that has the id already, None if there was none.

        Raises:
            Unavailable, TooMany: it is unknown for now which decision has the id.
        """
        await self._mirror()
        event = replace(event, claim=own_claim(claims))
        is_claimed, known = await self._claim(event)
        # A claim may be all that is left of its decision: the process that answers from it records it.
        asked = event if known is None else known
        # Without a claim in the store other processes do not see that the id is taken: then only the ledger can say.
        answers = self._recording.decide(asked, may_wait=is_claimed)
        try:
            [answer] = await self._recording.answered(answers)
        except Unavailable:
            if not is_claimed and _was_sent(answers):
                # Until the ledger answers, the store must not let another decision have the id.
                self._remember(asked, UNSURE, self._unsure)
                await self._mirror()
            raise
        if isinstance(answer, Claimed):
            asked = replace(asked, decision_ms=answer.decision_ms, claim=answer.claim)
        if isinstance(answer, Claimed) or not is_claimed:
            # The store, which other processes ask first, has another claim, or none.
            self._remember(asked, encode_event(asked), self._unmirrored)
        own = decode_own_decision(asked.claim or "")
        return None if known is None and own == decode_own_decision(event.claim or "") else own

    async def _claim(self, event: Event) -> tuple[bool, Event | None]:
        """Claim the id in the store; return whether that was done, and the event that has claimed it before."""
        try:
            [found] = await self._claims.claim([_claim(event, encode_event(event))], seconds=_KEPT_SECONDS)
        except (StoreUnavailableError, StoreFullError):
            return False, None
        if found == UNSURE:
            return False, None
        known = decode_event(found)
        return True, None if known == event else known

    async def _mirror(self) -> None:
        """Let the store say what the ledger says: that is what processes go by while the ledger is away."""
        if not (self._unmirrored or self._unsure):
            return
        claims, unsure = list(self._unmirrored.values()), list(self._unsure.values())
        try:
            await self._claims.overwrite(claims, seconds=_KEPT_SECONDS)
            await self._claims.claim(unsure, seconds=_KEPT_SECONDS)
        except (StoreUnavailableError, StoreFullError) as error:
            log.debug("claims_not_mirrored", number=len(claims) + len(unsure), reason=type(error).__name__)
            return
        for waiting, written in ((self._unmirrored, claims), (self._unsure, unsure)):
            for claim in written:
                if waiting.get(claim.key) is claim:
                    del waiting[claim.key]

    def _remember(self, event: Event, answer: bytes, waiting: dict[str, Claim]) -> None:
        claim = _claim(event, answer)
        waiting.pop(claim.key, None)
        waiting[claim.key] = claim
        if len(waiting) > _MOST_UNMIRRORED:
            del waiting[next(iter(waiting))]
        if self._mirroring is None or self._mirroring.done():
            self._mirroring = asyncio.create_task(self._mirror_all())

    async def _mirror_all(self) -> None:
        while True:
            await self._mirror()
            if not (self._unmirrored or self._unsure):
                return
            await asyncio.sleep(_RETRY)


def _was_sent(answers: asyncio.Future[list[Answer]]) -> bool:
    error = answers.exception()
    return isinstance(error, UnrecordedError) and error.was_sent


def _claim(event: Event, answer: bytes) -> Claim:
    return Claim(ExperimentKeys(event.experiment_id).own(event.decision_id), answer)
