"""Which experiments this process looks after, as it last heard from the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from bandit_service.ledger.leases import Lease, LeasesRepository


class Leases:
    """The leases held by this process. What is done under one is checked by the ledger: it may have gone meanwhile.

    Args:
        repository: The leases in the ledger.
        life: Seconds without a heartbeat after which a process loses its leases.
    """

    def __init__(self, repository: LeasesRepository, *, life: float) -> None:
        self._repository = repository
        self._life = life
        self._held: Mapping[str, Lease] = {}
        # The last answer of the ledger, unless a lease was taken or dropped since.
        self._answer: Mapping[str, Lease] | None = None

    @property
    def held(self) -> Mapping[str, Lease]:
        """What is held, by experiment; another mapping after every change."""
        return self._held

    async def keep(self) -> None:
        """Take leases without a holder, and learn which are held now.

        Raises:
            PostgresUnavailableError: what was held stays so, for all that is known.
        """
        held = await self._repository.claim(self._life)
        # The same answer is the same mapping: with many leases they are not compared each time.
        if held is not self._answer and held != self._held:
            # A copy, because the ledger's answer may be the mapping that was held before one was dropped.
            self._held = dict(held)
        self._answer = held

    async def take(self, experiment_id: str) -> Lease | None:
        """Take the lease of an experiment, unless another process holds it.

        Raises:
            PostgresUnavailableError: Postgres is away.
        """
        lease = await self._repository.take(experiment_id, self._life)
        if lease is None:
            self.drop(experiment_id)
        elif self._held.get(experiment_id) != lease:
            self._held, self._answer = {**self._held, experiment_id: lease}, None
        return lease

    def drop(self, experiment_id: str) -> None:
        """Leave an experiment to the process that took its lease."""
        if experiment_id in self._held:
            self._held = {name: lease for name, lease in self._held.items() if name != experiment_id}
            self._answer = None

    async def release(self) -> None:
        """Give every lease back, so that another process can go on at once.

        Raises:
            PostgresUnavailableError: others take them after their life.
        """
        self._held, self._answer = {}, None
        await self._repository.release()
