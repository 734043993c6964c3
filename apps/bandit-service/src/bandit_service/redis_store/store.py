"""Reads and writes of experiment state outside the commit path: definitions, allocations, leases, refills."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from bandit_service.domain.allocation import AllocationRecord, encode_allocation
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError, means_full
from bandit_service.redis_store.keys import EXPERIMENTS, ExperimentKeys
from bandit_service.redis_store.scripts import script
from bandit_service.redis_store.state import HEAD_FIELDS, BeliefCounts, Head

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECTIONS = 32
# So many at once do not keep the process from its requests for long.
_PAGE = 100


class Served(NamedTuple):
    """An experiment's definition, its published weights and, if it is contextual, its published linear models."""

    definition: str | None
    allocation: str | None
    linear: str | None


type _Call = tuple[Sequence[str], Sequence[str | bytes | int]]


class RedisStore:
    """The store as typed operations. Every method may raise StoreUnavailableError."""

    def __init__(self, url: str, *, timeout: float) -> None:
        # More requests than connections wait for one: a burst is no outage.
        pool = BlockingConnectionPool.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            max_connections=_CONNECTIONS,
            timeout=timeout,
        )
        self._redis = Redis.from_pool(pool)

    @property
    def client(self) -> Redis:
        return self._redis

    async def close(self) -> None:
        await self._redis.aclose()

    async def ping(self) -> None:
        with translated():
            await self._redis.ping()

    async def experiment_ids(self) -> list[str]:
        with translated():
            return sorted(await cast("Any", self._redis.smembers(EXPERIMENTS)))

    async def define(
        self, experiment_id: str, revision: int, definition: bytes, priors: Mapping[int, tuple[int, int]]
    ) -> bool:
        """Mirror a definition unless the store has a newer one; say whether it was taken.

        `priors` are alpha and beta in millionths by arm; they are set for arms that are new.
        """
        keys = ExperimentKeys(experiment_id)
        with translated():
            await cast("Any", self._redis.sadd(EXPERIMENTS, experiment_id))
        names = [name for index in priors for name in (keys.alpha(index), keys.beta(index))]
        values = [micro for prior in priors.values() for micro in prior]
        return bool(await self._run("define", [keys.state, keys.definition, *names], [revision, definition, *values]))

    async def served(self, experiment_id: str) -> Served:
        """Read what a process needs to answer for an experiment, in one atomic step."""
        keys = ExperimentKeys(experiment_id)
        with translated():
            values = await self._redis.mget(keys.definition, keys.allocation, keys.linear)
        return Served(*cast("list[str | None]", values))

    async def head(self, experiment_id: str) -> Head:
        [head] = await self.heads([experiment_id])
        return head

    async def heads(self, experiment_ids: Sequence[str]) -> list[Head]:
        """Say where each experiment stands."""
        heads: list[Head] = []
        for page in batched(experiment_ids, _PAGE):
            with translated():
                async with self._redis.pipeline(transaction=False) as pipe:
                    for experiment_id in page:
                        pipe.hmget(ExperimentKeys(experiment_id).state, HEAD_FIELDS)
                    heads += [Head.parse(values) for values in await pipe.execute()]
        return heads

    async def allocation_and_explanation(self, experiment_id: str) -> tuple[str | None, str | None]:
        keys = ExperimentKeys(experiment_id)
        with translated():
            values = await self._redis.mget(keys.allocation, keys.explanation)
        allocation, explanation = cast("list[str | None]", values)
        return allocation, explanation

    async def get(self, key: str) -> str | None:
        with translated():
            return cast("str | None", await self._redis.get(key))

    async def beliefs(self, experiment_id: str, arms: int) -> BeliefCounts:
        """Read counters and posteriors of the first `arms` arms in one atomic step."""
        flat, segments, values = await self._run("beliefs", BeliefCounts.keys(experiment_id, arms), [])
        return BeliefCounts.parse(flat, segments, values)

    async def vacant(self, experiment_ids: Sequence[str]) -> list[str]:
        """Return the experiments whose lease nobody holds."""
        with translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                for experiment_id in experiment_ids:
                    pipe.exists(ExperimentKeys(experiment_id).lease)
                held = await pipe.execute()
        return [name for name, is_held in zip(experiment_ids, held, strict=True) if not is_held]

    async def lease(self, experiment_ids: Sequence[str], token: str, life: float) -> list[bool]:
        """Take or renew the lease of each experiment; say of each whether it is now held."""
        calls: list[_Call] = [([ExperimentKeys(name).lease], [token, round(life * 1000)]) for name in experiment_ids]
        return [bool(held) for held in await self._run_many("lease", calls)]

    async def release(self, experiment_ids: Sequence[str], token: str) -> None:
        await self._run_many("release", [([ExperimentKeys(name).lease], [token]) for name in experiment_ids])

    async def publish(
        self,
        experiment_id: str,
        *,
        token: str,
        read_version: int,
        record: AllocationRecord,
        explanation: bytes,
        linear: bytes = b"",
    ) -> bool:
        """Publish an allocation if the lease is held, its epoch goes on and nobody published since `read_version`."""
        keys = ExperimentKeys(experiment_id)
        names = [keys.state, keys.lease, keys.allocation, keys.explanation, keys.linear]
        versions: tuple[str | int, ...] = (token, record.epoch, read_version, record.version)
        return bool(await self._run("publish", names, [*versions, encode_allocation(record), explanation, linear]))

    async def events(self, experiment_id: str, epoch: int, first: int, count: int) -> list[tuple[int, dict[str, str]]]:
        """Return up to `count` events of an epoch from sequence number `first` on, in order."""
        with translated():
            entries = await self._redis.xrange(
                ExperimentKeys(experiment_id).events, min=f"{epoch}-{first}", max=f"{epoch}", count=count
            )
        return [(int(name.partition("-")[2]), fields) for name, fields in cast("Any", entries)]

    async def due(self, experiment_id: str, now_ms: int, count: int) -> list[str]:
        """Return up to `count` decisions whose reward window has closed by `now_ms`, oldest first."""
        with translated():
            return cast(
                "list[str]",
                await self._redis.zrangebyscore(
                    ExperimentKeys(experiment_id).pending, min="-inf", max=f"({now_ms}", start=0, num=count
                ),
            )

    async def forget_producers(self, experiment_id: str, before_ms: int) -> None:
        """Drop the memory of processes that have not committed since `before_ms`."""
        key = ExperimentKeys(experiment_id).producers
        with translated():
            producers: dict[str, str] = await cast("Any", self._redis.hgetall(key))
            gone = [name for name, value in producers.items() if int(value.split(" ", 2)[1]) < before_ms]
            if gone:
                await cast("Any", self._redis.hdel(key, *gone))

    async def take_refill(self, experiment_id: str, token: str, life: float) -> bool:
        """Take the turn to refill, or hold on to it."""
        return bool(await self._run("lease", [ExperimentKeys(experiment_id).refill], [token, round(life * 1000)]))

    async def end_refill_turn(self, experiment_id: str, token: str) -> None:
        await self._run("release", [ExperimentKeys(experiment_id).refill], [token])

    async def refill_begin(self, experiment_id: str, epoch: int) -> bool:
        keys = ExperimentKeys(experiment_id)
        return bool(await self._run("refill_begin", list(keys.committed_by_script), [epoch]))

    async def refill_chunk(
        self, experiment_id: str, epoch: int, keys: Iterable[str], arguments: Iterable[str | int]
    ) -> bool:
        names = ExperimentKeys(experiment_id)
        return bool(
            await self._run(
                "refill_chunk", [names.state, names.pending, names.units, names.segments, *keys], [epoch, *arguments]
            )
        )

    async def refill_end(self, experiment_id: str, epoch: int, fields: dict[str, int]) -> bool:
        flat = [item for pair in fields.items() for item in pair]
        return bool(await self._run("refill_end", [ExperimentKeys(experiment_id).state], [epoch, *flat]))

    async def _run(self, name: str, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:  # noqa: ANN401
        return (await self._run_many(name, [(keys, arguments)]))[0]

    async def _run_many(self, name: str, calls: Sequence[_Call]) -> list[Any]:
        """Run one script for many experiments in a round trip. A restarted server has forgotten it: then teach it."""
        if not calls:
            return []
        with translated():
            try:
                return await self._evaluate(script(name).sha, calls)
            except NoScriptError:
                await cast("Any", self._redis.script_load(script(name).source))
                return await self._evaluate(script(name).sha, calls)

    async def _evaluate(self, sha: str, calls: Sequence[_Call]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for keys, arguments in calls:
                pipe.execute_command("EVALSHA", sha, len(keys), *keys, *arguments)
            return await pipe.execute()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the client library's errors into the two this room raises."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        if means_full(error):
            raise StoreFullError(str(error)) from error
        raise StoreUnavailableError(type(error).__name__) from error
