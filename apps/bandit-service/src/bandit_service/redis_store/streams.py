"""The event streams as their writer sees them: over one connection, so that it notices when the store was restarted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from bandit_service.redis_store.connection import Command, PipelinedConnection
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError, means_full
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.scripts import script
from bandit_service.redis_store.state import HEAD_FIELDS, BeliefCounts, Head

type Entry = tuple[int, list[bytes]]


class Streams:
    """Reads streams and trims them.

    What was read is worth nothing once the connection has failed: the store may have come back with other events under
    the same numbers. So every method raises StoreUnavailableError then, until `open` begins anew. One user at a time.
    """

    SCRIPTS = ("trim", "beliefs")

    def __init__(self, connection: PipelinedConnection) -> None:
        self._connection = connection

    @property
    def generation(self) -> int:
        """Which store this is: what was read from another one, or before it was restarted, may no longer hold."""
        return self._connection.generation

    async def open(self) -> None:
        """Connect unless connected."""
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    async def still_there(self) -> None:
        """Return if the store has not been restarted since `open`."""
        await self._execute([("PING",)])

    async def heads(self, experiment_ids: Sequence[str]) -> dict[str, Head]:
        answers = await self._execute([("HMGET", ExperimentKeys(name).state, *HEAD_FIELDS) for name in experiment_ids])
        return {name: Head.parse(answer) for name, answer in zip(experiment_ids, answers, strict=True)}

    async def events(self, experiment_id: str, epoch: int, first: int, count: int) -> list[Entry]:
        """Return up to `count` events of an epoch from number `first` on, in order: names and values in turn."""
        key = ExperimentKeys(experiment_id).events
        [entries] = await self._execute([("XRANGE", key, f"{epoch}-{first}", f"{epoch}", "COUNT", count)])
        return [(int(name.partition(b"-")[2]), fields) for name, fields in entries]

    async def trim(self, experiment_id: str, epoch: int, committed: int) -> None:
        """Note what Postgres has committed, and forget those events."""
        keys = ExperimentKeys(experiment_id)
        await self._run("trim", [keys.state, keys.events], [epoch, committed])

    async def beliefs(self, experiment_id: str, arms: int) -> BeliefCounts:
        """Read counters and posteriors of the first `arms` arms in one atomic step."""
        answer = await self._run("beliefs", BeliefCounts.keys(experiment_id, arms), [])
        return BeliefCounts.parse(*([item.decode() for item in part] for part in answer))

    async def _run(self, name: str, keys: Sequence[str], arguments: Sequence[int]) -> Any:  # noqa: ANN401
        command: Command = ("EVALSHA", script(name).sha, len(keys), *keys, *arguments)
        try:
            [answer] = await self._execute([command])
        except NoScriptError:
            await self._connection.teach()
            [answer] = await self._execute([command])
        return answer

    async def _execute(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        answers = await self._connection.execute(commands)
        for answer in answers:
            if isinstance(answer, NoScriptError):
                raise answer
            if isinstance(answer, Exception):
                raise StoreFullError(str(answer)) if means_full(answer) else StoreUnavailableError(str(answer))
        return answers
