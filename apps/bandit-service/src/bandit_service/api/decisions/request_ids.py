"""Answers kept for a while under the ids of their requests: a retry of a request gets the answer of the first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
import structlog

from bandit_core.rules.requests import SelectResponse
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError
from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.mirror.own_ids import Claim, OwnIds

log = structlog.get_logger(__name__)

KEPT_SECONDS: Final = 600.0
# As many as a batch request holds.
_MOST_CLAIMS: Final = 1_000
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SelectResponse).decode


class _Waiting(NamedTuple):
    claim: Claim
    first: asyncio.Future[bytes]


class RequestIds:
    """Claims request ids in the store, all that wait with one command. Without the store nothing is claimed.

    Args:
        claims: The claims in the store.
        is_store_there: Whether the store answered when it was last asked: if not, requests do not wait for it.
    """

    def __init__(self, claims: OwnIds, *, is_store_there: Callable[[], bool]) -> None:
        self._claims = claims
        self._is_store_there = is_store_there
        self._waiting: deque[_Waiting] = deque()
        self._claiming: asyncio.Task[None] | None = None

    async def first(self, request_id: str, answer: SelectResponse) -> SelectResponse:
        """Claim a request's id for an answer; return the answer that has it, `answer` itself or an earlier one.

        Args:
            request_id: The caller's name for the request.
            answer: What this process would answer.
        """
        if not self._is_store_there():
            return answer
        mine = _encode(answer)
        key = ExperimentKeys(answer.experiment_id).request(request_id)
        waiting = _Waiting(Claim(key, mine), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._claiming is None or self._claiming.done():
            self._claiming = asyncio.create_task(self._claim_all())
        found = await waiting.first
        if found == mine:
            return answer
        try:
            return _decode(found)
        except msgspec.DecodeError:
            # The answer of another version of this service.
            return answer

    async def _claim_all(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(_MOST_CLAIMS, len(self._waiting)))]
            claims = [each.claim for each in taken]
            try:
                found = await self._claims.claim(claims, seconds=KEPT_SECONDS)
            except (StoreUnavailableError, StoreFullError):
                found = [each.answer for each in claims]
            except Exception:
                # Whatever it is: the callers must not wait indefinitely.
                log.exception("claiming_failed")
                found = [each.answer for each in claims]
            for each, first in zip(taken, found, strict=True):
                if not each.first.done():
                    each.first.set_result(first)
