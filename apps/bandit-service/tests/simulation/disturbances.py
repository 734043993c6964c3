"""What a fault of a schedule does to the world, and how it is mended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from .schedule import Fault

# Who sends and gets nothing for so long is struck all the same.
_STRUCK_BY = 1.0
# How often a slow server lets time pass before a statement writes, and how much at most (s).
_SLOW_SHARE = 0.5
_SLOWEST = 0.4

if TYPE_CHECKING:
    from .replica import Replica
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
        if name in ("kill", "stop", "freeze", "join"):
            await self._to_process(fault)
        elif name.startswith(("cut", "lossy", "stalled")):
            await self._to_link(fault)
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
        world.postgres.moment = self.moment
        for replica in world.replicas:
            replica.thaw()
            replica.to_redis.heal()
            replica.to_postgres.heal()

    def moment(self) -> float:
        """Return how long a statement takes between what it reads and what it writes: hardly ever any time."""
        drawn = self._rng.random()
        return 0.0 if drawn < 0.97 else (drawn - 0.97) * 2.0

    def _slow_moment(self) -> float:
        return self._rng.random() * _SLOWEST if self._rng.random() < _SLOW_SHARE else 0.0

    async def _to_process(self, fault: Fault) -> None:
        world, place = self._world, self._world.place_of(fault.replica)
        replica = world.replicas[place]
        match fault.what:
            case "join":
                world.start_replica()
                return
            case "kill" | "stop":
                if not replica.is_there:
                    return
                if fault.what == "kill":
                    await self._strike(replica, fault, replica.kill)
                else:
                    await replica.stop()
                await asyncio.sleep(fault.lasts)
                if world.replicas[place] is replica:
                    world.start_replica(place)
                return
            case "freeze":
                await self._strike(replica, fault, replica.freeze)
                await self._over(("freeze", place), fault.lasts, replica.thaw)
                return

    async def _to_link(self, fault: Fault) -> None:
        place = self._world.place_of(fault.replica)
        replica = self._world.replicas[place]
        link = replica.to_redis if fault.what.endswith("redis") else replica.to_postgres
        if fault.what == "stalled_commit":
            link.stall_once(fault.lasts)
            return
        if fault.messages:
            await self._strike(replica, fault, link.break_once)
            return
        if fault.what.startswith("cut"):
            link.is_cut = True
        elif fault.what == "lossy_commits":
            link.lost_commits = fault.share
        else:
            link.lost_requests = link.lost_answers = fault.share
        await self._over((fault.what, place), fault.lasts, link.heal)

    async def _strike(self, replica: Replica, fault: Fault, happen: Callable[[], None]) -> None:
        """Let something happen to a process, now or at one of its next messages; return once it has."""
        if not fault.messages:
            happen()
            return
        struck: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def strike() -> None:
            if not struck.done():
                struck.set_result(None)
                if replica.is_there:
                    happen()

        replica.strike(fault.messages, strike)
        await asyncio.wait([struck], timeout=_STRUCK_BY)
        strike()

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
            case "postgres_slow":
                postgres.moment = self._slow_moment
                await self._over("postgres slow", fault.lasts, self._postgres_is_fast)
            case "sessions_ended":
                postgres.end_sessions()
            case "postgres_clock":
                self._world.set_ledger_clock(self._rng.uniform(-1.5, 1.5))

    async def _fail_over(self, fault: Fault) -> None:
        """The primary goes, and a standby that lagged takes its place; the old one may still be there."""
        postgres = self._world.postgres
        if fault.lasts > 0.2:
            postgres.kill()
            # Nothing else brings the old primary back meanwhile.
            self._note_until("postgres", fault.lasts)
            await asyncio.sleep(fault.lasts)
            postgres.failover(self._lag(fault.lag + fault.lasts))
        else:
            postgres.failover(
                self._lag(fault.lag), old=self._rng.choice(("ended", "ended", "read only", "in recovery"))
            )
        drawn = self._rng.random()
        if drawn < 0.3:
            # Another server has another clock.
            ahead = (-0.5, 0.5) if drawn < 0.2 else (-4.0, -1.0)
            self._world.set_ledger_clock(self._rng.uniform(*ahead))

    def _lag(self, lag: float) -> float:
        """Return how much a standby lacks: not the experiments themselves, which were there long before."""
        return min(lag, asyncio.get_running_loop().time() - self._world.created_at)

    async def _over(self, what: object, lasts: float, mend: Callable[[], None]) -> None:
        self._note_until(what, lasts)
        await asyncio.sleep(lasts)
        if asyncio.get_running_loop().time() >= self._until[what]:
            mend()

    def _note_until(self, what: object, lasts: float) -> None:
        until = asyncio.get_running_loop().time() + lasts
        self._until[what] = max(self._until.get(what, 0.0), until)

    def _redis_has_room(self) -> None:
        self._world.redis.is_full = False

    def _redis_is_writable(self) -> None:
        self._world.redis.is_read_only = False

    def _postgres_is_fast(self) -> None:
        self._world.postgres.moment = self.moment

    def _postgres_is_writable(self) -> None:
        self._world.postgres.set_read_only(is_read_only=False)
