"""Material changes of weights on their way to Postgres: noted at once, written when it answers."""

from __future__ import annotations

from collections import deque

from bandit_core.allocation import Allocation
from bandit_service.domain.allocation import AllocationRecord
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.events import EventLog

_PENDING = 1_000


class History:
    """How weights moved, and why."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._allocations: deque[tuple[str, AllocationRecord, Allocation]] = deque(maxlen=_PENDING)

    def keep(self, experiment_id: str, record: AllocationRecord, allocation: Allocation) -> None:
        """Note a material change of weights; past a thousand waiting the oldest gives way."""
        self._allocations.append((experiment_id, record, allocation))

    async def flush(self) -> None:
        """Write what was noted.

        Raises:
            PostgresUnavailableError: the rest waits for the next call.
        """
        while self._allocations:
            noted = self._allocations.popleft()
            experiment_id, record, allocation = noted
            why = allocation.explanation
            try:
                await self._events.save_allocation(experiment_id, record, why.to_dict(), why.paragraph())
            except PostgresUnavailableError:
                self._allocations.appendleft(noted)
                raise
