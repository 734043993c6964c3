"""The operations of one experiment in this process: waiting, under way, and kept until Postgres has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from bandit_service.events.operations import NO_CONTEXT, UNKNOWN, UNRECORDED, Operation
from bandit_service.redis_store.connection import Command
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.scripts import script


@dataclass(slots=True)
class Batch:
    """Operations sent together. Its number lets the script recognise it when it comes again."""

    number: int
    operations: list[Operation]
    command: Command


@dataclass(frozen=True, slots=True)
class Reply:
    """The commit script's answer."""

    status: int
    epoch: int | None
    committed: int
    weights_version: int
    revision: int
    now_ms: int
    results: tuple[int, ...]

    @classmethod
    def parse(cls, raw: list[bytes | int]) -> Reply:
        status, epoch, committed, weights_version, revision, now_ms, results = raw
        return cls(
            status=int(status),
            epoch=int(epoch) if epoch else None,
            committed=int(committed),
            weights_version=int(weights_version),
            revision=int(revision),
            now_ms=int(now_ms),
            results=tuple(map(int, bytes(results).split(b","))) if isinstance(results, bytes) and results else (),
        )


class Lane:
    """One experiment's queue. It is open once it agrees with the store about the epoch and what the stream holds.

    `settling`: that agreement is being looked for. `unverified`: Postgres could not be asked for it. `resting`: the
    store refused a batch a moment ago. `recovering`: an agreement that was in doubt was found again only just now, and
    other processes may not have sent again yet what the store had lost; decisions that must not be made before they
    have are `held`, rewards are given back. `touched`: something was committed since this was last looked at.
    """

    def __init__(self, experiment_id: str, producer: str, *, marker_life_ms: int, retain_limit: int) -> None:
        self.experiment_id = experiment_id
        self.keys = ExperimentKeys(experiment_id)
        self.marker_life_ms = marker_life_ms
        self.epoch: int | None = None
        self.queue: deque[Operation] = deque()
        self.under_way: Batch | None = None
        self.held: list[Operation] = []
        self.retained: deque[tuple[int, Operation]] = deque()
        self.committed = 0
        self.in_flight = False
        self.settling = False
        self.resting = False
        self.unverified = False
        self.recovering = False
        self.touched = False
        self.forgotten = 0
        self._producer = producer
        self._number = 0
        self._retain_limit = retain_limit

    @property
    def is_open(self) -> bool:
        """Whether operations can be committed now."""
        return self.epoch is not None and not (self.settling or self.resting)

    @property
    def is_verified(self) -> bool:
        """Whether the stream is known to continue what Postgres has."""
        return self.epoch is not None and not (self.settling or self.unverified)

    @property
    def waiting(self) -> int:
        """How many operations wait for the store, those under way not counted."""
        return len(self.queue) + len(self.held)

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be committed, now or after the lane has settled."""
        return not (self.queue or self.under_way)

    @property
    def has_work(self) -> bool:
        return self.is_open and not self.is_empty

    @property
    def known_seq(self) -> int:
        """The newest event this process knows to have been in the stream, in the lane's epoch."""
        return max(self.committed, self.retained[-1][0] if self.retained else 0)

    def next_batch(self, limit: int) -> Batch:
        """Return the batch under way, or begin one with up to `limit` waiting operations."""
        if self.under_way is None:
            self._number += 1
            self.under_way = self._batch(list(islice(self.queue, limit)))
            for _ in self.under_way.operations:
                self.queue.popleft()
        elif self.recovering:
            # It was made before the store came into doubt, and could pre-empt what another process has to send again.
            self.under_way = self._batch(self.under_way.operations)
        return self.under_way

    def succeed(self, reply: Reply) -> None:
        """Take the script's answer to the batch under way: keep what entered the stream, tell whoever waits."""
        batch, self.under_way = self.under_way, None
        self.touched = True
        for operation, result in zip(batch.operations if batch else (), reply.results, strict=True):
            if result > 0:
                operation.is_accepted = True
                self.retained.append((result, operation))
            elif result == UNKNOWN and operation.waits_out_outages:
                self.held.append(operation)
            elif result == NO_CONTEXT and operation.is_accepted:
                # The context of a reward that was acknowledged is still to come from the process that decided.
                if self.recovering:
                    self.held.append(operation)
                else:
                    self.forgotten += 1
            operation.settle(UNRECORDED if result == UNKNOWN else result)
        self.release(reply.committed)

    def recovered(self) -> None:
        """Take it that every process has sent again what it had acknowledged: what was held can be decided."""
        self.recovering = False
        self.queue.extend(self.held)
        self.held.clear()

    def release(self, committed: int) -> None:
        """Forget what Postgres has; and past the limit what it has not, counting it.

        `committed` has to come over the connection the batches travel on: on another one the store may have been
        restarted, and its numbers may stand for other events.
        """
        self.committed = max(self.committed, committed)
        retained = self.retained
        if not (self.settling or self.unverified):
            while retained and retained[0][0] <= self.committed:
                retained.popleft()
        while len(retained) > self._retain_limit:
            retained.popleft()
            self.forgotten += 1

    def unanswered(self) -> None:
        """Tell everyone who waits that the store was not reached; drop what will be sent again by its caller.

        A batch under way is kept whole: whether the store has it is unknown until it answers again.
        """
        for operation in self.under_way.operations if self.under_way else ():
            operation.settle(UNRECORDED)
        for operation in self.queue:
            operation.settle(UNRECORDED)
        self.queue = deque(operation for operation in self.queue if operation.waits_out_outages)

    def unconfirmed(self) -> list[Operation]:
        """Return what the stream may or may not hold: the kept operations and the batch under way."""
        return [operation for _, operation in self.retained] + (self.under_way.operations if self.under_way else [])

    def restart(self, epoch: int, lost: Iterable[Operation]) -> None:
        """Go on in a new epoch: what was lost is sent again, before anything newer; all else is known to be safe."""
        for operation in self.unconfirmed():
            operation.settle(UNRECORDED)
        self.queue.extendleft(reversed(list(lost)))
        self.under_way = None
        self.retained.clear()
        self.epoch = epoch
        self.committed = 0

    def resend(self, lost: list[tuple[int, Operation]]) -> None:
        """Send again what the same epoch's stream no longer holds."""
        gone = {id(operation) for _, operation in lost}
        self.retained = deque(item for item in self.retained if id(item[1]) not in gone)
        self.queue.extendleft(operation for _, operation in reversed(lost))

    def _batch(self, operations: list[Operation]) -> Batch:
        """Encode operations under the current number, for the store as it is known now."""
        keys = list(self.keys.committed_by_script)
        arguments: list[str | bytes | int] = [str(self.epoch), self._producer, self._number, self.marker_life_ms]
        for operation in operations:
            operation.tentative = self.recovering
            operation.encode(self.keys, keys, arguments)
        command = ("EVALSHA", script("commit").sha, len(keys), *keys, *arguments)
        return Batch(self._number, operations, command)
