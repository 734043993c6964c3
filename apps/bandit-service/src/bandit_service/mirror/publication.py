"""Copies of definitions, totals and weights. What is older never overwrites what is newer; to repeat does no harm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from bandit_core.rules.allocation_record import AllocationRecord, decode_allocation, encode_allocation
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.linear_record import LinearRecord, decode_linear, encode_linear
from bandit_service.domain.totals import Totals, decode_totals, encode_totals
from bandit_service.mirror.connection import translated
from bandit_service.mirror.keys import EXPERIMENTS, MARK, ExperimentKeys
from bandit_service.mirror.scripts import script

# So many at once do not keep the process from its requests for long.
_PAGE: Final = 100
_COUNT_KEPT: Final = 3_600
_encode_definition = msgspec.json.Encoder().encode
_decode_definition = msgspec.json.Decoder(Experiment).decode


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What the store has of an experiment; what is not there, or of another version of this service, is None."""

    experiment: Experiment | None
    allocation: AllocationRecord | None
    linear: LinearRecord | None


@dataclass(frozen=True, slots=True)
class Publish:
    """Weights to be published, with their explanation as JSON; `linear` are the models of a contextual experiment."""

    experiment_id: str
    record: AllocationRecord
    explanation: bytes
    linear: LinearRecord | None = None


@dataclass(frozen=True, slots=True)
class _Write:
    """Values by key, and how new they are: by token, then by number."""

    experiment_id: str
    field: str
    token: int
    number: int
    values: dict[str, bytes | int]


class Mirror:
    """The copies. Every method may raise StoreUnavailableError, those that write StoreFullError too."""

    def __init__(self, redis: Redis, writer: str = "") -> None:
        """`writer` is a name that was never used: under it every write is counted, so that lost ones show."""
        self._redis = redis
        self._count_key = f"{MARK}:{writer}" if writer else ""
        self._count = 0
        self._lost = False

    async def define(self, experiments: Sequence[Experiment], *, anew: bool = False) -> None:
        """Copy definitions that are not older than what is there; arms that are new get their prior.

        Args:
            experiments: The definitions.
            anew: Whatever is there is overwritten: a failover of Postgres may have lost a later revision.
        """
        for page in batched(experiments, _PAGE):
            with translated():
                async with self._redis.pipeline(transaction=False) as pipe:
                    pipe.sadd(EXPERIMENTS, *(experiment.id for experiment in page))
                    for experiment in page:
                        keys = ExperimentKeys(experiment.id)
                        if anew:
                            pipe.hdel(keys.written, "definition")
                        for index, (alpha, beta) in experiment.priors.items():
                            pipe.set(keys.alpha(index), alpha, nx=True)
                            pipe.set(keys.beta(index), beta, nx=True)
                    await pipe.execute()
            await self._write([_definition(experiment) for experiment in page])

    async def publish(self, publications: Sequence[tuple[int, Publish]]) -> None:
        """Copy weights and their explanation, each with the token of its lease."""
        await self._write([_weights(token, each) for token, each in publications])

    async def totals(self, writes: Sequence[tuple[int, Experiment, Totals]]) -> None:
        """Copy the totals of experiments, each with the token of its lease, and alpha and beta of their arms."""
        await self._write([_totals(token, experiment, totals) for token, experiment, totals in writes])

    async def served(self, experiment_ids: Sequence[str]) -> list[Mirrored]:
        """Return what a process needs to answer for each experiment."""
        found: list[Mirrored] = []
        for page in batched(experiment_ids, _PAGE):
            with translated():
                async with self._redis.pipeline(transaction=False) as pipe:
                    for experiment_id in page:
                        keys = ExperimentKeys(experiment_id)
                        pipe.mget(keys.definition, keys.weights, keys.linear)
                    answers = await pipe.execute()
            found += [
                Mirrored(
                    _read(_decode_definition, definition),
                    _read(decode_allocation, weights),
                    _read(decode_linear, linear),
                )
                for definition, weights, linear in answers
            ]
        return found

    async def linear(self, experiment_id: str) -> LinearRecord | None:
        with translated():
            return _read(decode_linear, await self._redis.get(ExperimentKeys(experiment_id).linear))

    async def explained(self, experiment_id: str) -> tuple[AllocationRecord, dict[str, Any]] | None:
        """Return the published weights and their explanation."""
        keys = ExperimentKeys(experiment_id)
        with translated():
            weights, explanation = await self._redis.mget(keys.weights, keys.explanation)
        record, details = _read(decode_allocation, weights), _read(msgspec.json.decode, explanation)
        return None if record is None or details is None else (record, details)

    async def beliefs(self, experiment_id: str) -> Totals | None:
        """Return the totals as they were when they were last copied."""
        with translated():
            return _read(decode_totals, await self._redis.get(ExperimentKeys(experiment_id).totals))

    async def sums(self, experiment: Experiment) -> dict[int, tuple[int | None, int | None]]:
        """Return alpha and beta of every arm in millionths, as they stand under their keys."""
        keys = ExperimentKeys(experiment.id)
        indices = [arm.index for arm in experiment.arms]
        names = [name for index in indices for name in (keys.alpha(index), keys.beta(index))]
        with translated():
            values = [None if value is None else int(value) for value in await self._redis.mget(names)]
        return dict(zip(indices, zip(values[::2], values[1::2], strict=True), strict=True))

    async def experiment_ids(self) -> list[str]:
        with translated():
            return sorted(name.decode() for name in await cast("Any", self._redis.smembers(EXPERIMENTS)))

    async def has_kept_all(self) -> bool:
        """Say whether the store still has everything that this writer has written since the last call.

        A store that has lost its data, or has gone back to an earlier state, has counted fewer writes.
        """
        known = self._count
        with translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.incr(self._count_key)
                pipe.expire(self._count_key, _COUNT_KEPT)
                count, _ = await pipe.execute()
        self._counted(known, count)
        kept, self._lost = not self._lost, False
        return kept

    def _counted(self, known: int, count: int) -> None:
        """Note a count that was asked for when `known` writes had been counted."""
        self._lost = self._lost or count <= known
        self._count = count if self._lost else max(self._count, count)

    async def _write(self, writes: Sequence[_Write]) -> None:
        for page in batched(writes, _PAGE):
            with translated():
                try:
                    await self._evaluate(page)
                except NoScriptError:
                    # A server that was restarted has forgotten the script.
                    await cast("Any", self._redis.script_load(script("write").source))
                    await self._evaluate(page)

    async def _evaluate(self, writes: Sequence[_Write]) -> None:
        sha, known = script("write").sha, self._count
        async with self._redis.pipeline(transaction=False) as pipe:
            if self._count_key:
                pipe.incr(self._count_key)
            for each in writes:
                keys = [ExperimentKeys(each.experiment_id).written, *each.values]
                pipe.execute_command(
                    "EVALSHA", sha, len(keys), *keys, each.field, each.token, each.number, *each.values.values()
                )
            answers = await pipe.execute()
        if self._count_key:
            self._counted(known, answers[0])


def _definition(experiment: Experiment) -> _Write:
    keys = ExperimentKeys(experiment.id)
    values: dict[str, bytes | int] = {keys.definition: _encode_definition(experiment)}
    return _Write(experiment.id, "definition", 0, experiment.revision, values)


def _weights(token: int, each: Publish) -> _Write:
    keys = ExperimentKeys(each.experiment_id)
    values: dict[str, bytes | int] = {keys.weights: encode_allocation(each.record), keys.explanation: each.explanation}
    if each.linear is not None:
        values[keys.linear] = encode_linear(each.linear)
    return _Write(each.experiment_id, "weights", token, each.record.version, values)


def _totals(token: int, experiment: Experiment, totals: Totals) -> _Write:
    keys = ExperimentKeys(experiment.id)
    values: dict[str, bytes | int] = {keys.totals: encode_totals(totals)}
    for arm in experiment.arms:
        values[keys.alpha(arm.index)] = totals.alpha_micro(experiment, arm.index)
        values[keys.beta(arm.index)] = totals.beta_micro(experiment, arm.index)
    return _Write(experiment.id, "totals", token, round(totals.as_of * 1_000_000), values)


def _read[Value](decode: Callable[[bytes], Value], value: bytes | str | None) -> Value | None:
    try:
        return None if value is None else decode(cast("bytes", value))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
