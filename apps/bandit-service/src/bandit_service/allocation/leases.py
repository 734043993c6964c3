"""Which experiments this process looks after: it computes their weights and writes their events to Postgres."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bandit_service.redis_store.store import RedisStore


class Leases:
    """The leases held by this process.

    A lease counts as held only until its life has passed since before it was asked for, so that this process never
    believes longer than the store does.
    """

    def __init__(self, store: RedisStore, *, token: str, life: float, monotonic: Callable[[], float]) -> None:
        self._store = store
        self.token = token
        self._life = life
        self._monotonic = monotonic
        self._until: dict[str, float] = {}

    @property
    def owned(self) -> list[str]:
        now = self._monotonic()
        return [name for name, until in self._until.items() if until > now]

    def owns(self, experiment_id: str) -> bool:
        return self._until.get(experiment_id, 0.0) > self._monotonic()

    async def claim(self, experiment_ids: Iterable[str]) -> set[str]:
        """Take or renew leases; return the experiments whose lease was lost to another process."""
        names = list(experiment_ids)
        until = self._monotonic() + self._life
        lost = set()
        for name, held in zip(names, await self._store.lease(names, self.token, self._life), strict=True):
            if held:
                self._until[name] = until
            elif self._until.pop(name, None) is not None:
                lost.add(name)
        return lost

    async def keep(self, known: Iterable[str]) -> set[str]:
        """Renew the leases of which less than half the life is left, and take those of `known` that nobody holds.

        Returns the experiments whose lease was lost to another process.
        """
        soon = self._monotonic() + self._life / 2
        due = [name for name, until in self._until.items() if until < soon]
        vacant = await self._store.vacant([name for name in known if name not in self._until])
        return await self.claim([*due, *vacant])

    async def release(self) -> None:
        """Give every lease back, so that another process can go on at once."""
        names, self._until = list(self._until), {}
        await self._store.release(names, self.token)
