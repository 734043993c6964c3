"""What a fault of a schedule does to the world, and how it is mended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from .schedule import Fault

if TYPE_CHECKING:
    from .world import World


class Disturbances:
    """Makes faults happen. What fails several times at once is mended when the last of them is over."""

    def __init__(self, world: World, rng: Random) -> None:
        self._world = world
        self._rng = rng
        self._until: dict[object, float] = {}

    def prepare(self, fault: Fault) -> tuple[float, Callable[[], None]] | None:
        """Return when something has to be done before a fault, and what: a copy that lags is made before."""
        if fault.what in ("redis_rolled_back", "redis_fails_over"):
            return max(0.0, fault.at - fault.lag), self._world.redis.save
        return None

    async def happen(self, fault: Fault) -> None:
        """Let a fault happen, and return when it is mended."""
        name = fault.what
        if name in ("kill", "stop", "freeze", "join", "cut_redis", "cut_postgres", "lossy_redis", "lossy_postgres"):
            await self._to_process(fault)
        elif name.startswith("redis"):
            await self._to_redis(fault)
        else:
            await self._to_postgres(fault)

    def mend_everything(self) -> None:
        world = self._world
        world.redis.start()
        world.redis.is_full = world.redis.is_read_only = False
        world.redis.thaw()
        world.postgres.thaw()
        world.postgres.start()
        world.postgres.set_read_only(is_read_only=False)
        world.postgres.release_commits()
        for replica in world.replicas:
            replica.thaw()
            replica.to_redis.heal()
            replica.to_postgres.heal()

    async def _to_process(self, fault: Fault) -> None:
        world, place = self._world, fault.replica
        replica = world.replicas[place]
        match fault.what:
            case "join":
                world.start_replica()
                return
            case "kill" | "stop":
                if not replica.is_there:
                    return
                if fault.what == "kill":
                    replica.kill()
                else:
                    await replica.stop()
                await asyncio.sleep(fault.lasts)
                if world.replicas[place] is replica:
                    world.start_replica(place)
                return
            case "freeze":
                replica.freeze()
                await self._over(("freeze", place), fault.lasts, replica.thaw)
                return
        link = replica.to_redis if fault.what.endswith("redis") else replica.to_postgres
        if fault.what.startswith("cut"):
            link.is_cut = True
        else:
            link.lost_requests = link.lost_answers = fault.share
        await self._over((fault.what, place), fault.lasts, link.heal)

    async def _to_redis(self, fault: Fault) -> None:
        redis = self._world.redis
        match fault.what:
            case "redis_away":
                redis.kill()
                await self._over("redis", fault.lasts, redis.start)
            case "redis_emptied":
                redis.empty()
            case "redis_rolled_back":
                redis.kill()
                redis.roll_back()
                await self._over("redis", fault.lasts, redis.start)
            case "redis_fails_over":
                redis.fail_over()
            case "redis_frozen":
                redis.freeze()
                await self._over("redis frozen", fault.lasts, redis.thaw)
            case "redis_full":
                redis.is_full = True
                await self._over("redis full", fault.lasts, self._redis_has_room)
            case "redis_read_only":
                redis.is_read_only = True
                await self._over("redis read only", fault.lasts, self._redis_is_writable)

    async def _to_postgres(self, fault: Fault) -> None:
        postgres = self._world.postgres
        match fault.what:
            case "postgres_away":
                postgres.kill()
                await self._over("postgres", fault.lasts, postgres.start)
            case "postgres_frozen":
                postgres.freeze()
                await self._over("postgres frozen", fault.lasts, postgres.thaw)
            case "postgres_read_only":
                postgres.set_read_only()
                await self._over("postgres read only", fault.lasts, self._postgres_is_writable)
            case "postgres_fails_over":
                await self._fail_over(fault)
            case "postgres_holds_commits":
                postgres.hold_commits()
                await self._over("commits held", fault.lasts, postgres.release_commits)
            case "sessions_ended":
                postgres.end_sessions()
            case "postgres_clock":
                self._world.set_ledger_clock(self._rng.uniform(-1.5, 1.5))

    async def _fail_over(self, fault: Fault) -> None:
        """The primary goes, and a standby that lagged takes its place; the old one may still be there."""
        postgres = self._world.postgres
        if fault.lasts > 0.2:
            postgres.kill()
            await asyncio.sleep(fault.lasts)
            postgres.failover(self._lag(fault.lag + fault.lasts))
        else:
            postgres.failover(
                self._lag(fault.lag), old=self._rng.choice(("ended", "ended", "read only", "in recovery"))
            )
        if self._rng.random() < 0.3:
            self._world.set_ledger_clock(self._rng.uniform(-0.5, 0.5))

    def _lag(self, lag: float) -> float:
        """Return how much a standby lacks: not the experiments themselves, which were there long before."""
        return min(lag, asyncio.get_running_loop().time() - self._world.created_at)

    async def _over(self, what: object, lasts: float, mend: Callable[[], None]) -> None:
        now = asyncio.get_running_loop().time()
        self._until[what] = max(self._until.get(what, 0.0), now + lasts)
        await asyncio.sleep(lasts)
        if asyncio.get_running_loop().time() >= self._until[what]:
            mend()

    def _redis_has_room(self) -> None:
        self._world.redis.is_full = False

    def _redis_is_writable(self) -> None:
        self._world.redis.is_read_only = False

    def _postgres_is_writable(self) -> None:
        self._world.postgres.set_read_only(is_read_only=False)
