"""A session of a client: one transaction at a time, one statement at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from .limits import Limits, limits_of
from .statements import Model, Result, model_of
from .transaction import Transaction

if TYPE_CHECKING:
    from .database import Commit, Database
    from .server import SimulatedPostgres

DEADLOCK_TIMEOUT: Final = 1.0
_CLOCK_TICK: Final = 1e-6
_DONE: Final = Result((), 0)
_TOGETHER: Final = Model("statements sent together", lambda _, __: _DONE, writes=False, columns=(), names=())

type Parameters = Mapping[str, Any] | Sequence[Any] | None
type Outcome = Result | psycopg.Error
type Statements = Sequence[tuple[str, Parameters]]
type _Work = Callable[[], Outcome | asyncio.Future[Outcome]]


class Session:
    """What a server does for one connection.

    Attributes:
        status: Of its transaction.
        ended: Why the server has ended the session; None while it has not.
    """

    def __init__(self, server: SimulatedPostgres, client: str = "") -> None:
        self.server = server
        self.client = client
        self.database = server.database
        self.status = TransactionStatus.IDLE
        self.ended: type[psycopg.Error] | None = None
        self.blocked_by: Transaction | None = None
        self._transaction: Transaction | None = None
        self._limits: Limits | None = None
        self._idle_since = 0.0
        self._client_is_gone = False
        self._running: Generator[Transaction | None, None, Any] | None = None
        self._model: Model | None = None
        self._answer: asyncio.Future[Outcome] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._statements = 0
        self._wait = 0
        self._held = _DONE
        # Whether a commit was made without the standby that it waited for: its client gets a warning.
        self.warns = False
        self._unheard: Commit | None = None

    @property
    def transaction(self) -> Transaction | None:
        return self._transaction

    def run(self, text: str | bytes, parameters: Parameters = None) -> Outcome | asyncio.Future[Outcome]:
        """Execute a statement; return what comes of it, or a future of that if it has to wait."""
        return self._when_awake(lambda: self._obey(text, parameters))

    def _when_awake(self, work: _Work) -> Outcome | asyncio.Future[Outcome]:
        """Do something now, or, for a server that stands still, once it does not any more."""
        if self.server.is_frozen:
            answer = self._new_answer()
            self.server.when_thawed(partial(self._run_late, answer, work))
            return answer
        self.end_if_expired()
        if self.ended is not None:
            return self.ended("the server has ended the session")
        try:
            return work()
        except psycopg.Error as error:
            return self._failed(error)

    def _obey(self, text: str | bytes, parameters: Parameters) -> Outcome | asyncio.Future[Outcome]:
        if isinstance(text, bytes):
            return self._begin(text)
        if text == "BEGIN":
            return self._begin_with(None)
        if text == "COMMIT":
            return self._commit()
        if text == "ROLLBACK":
            return self._rollback()
        return self._execute(model_of(text), parameters)

    def run_all(self, statements: Statements, results: list[Result]) -> Outcome | asyncio.Future[Outcome]:
        """Execute statements that were sent together, as one transaction; note what each returns."""
        return self._when_awake(lambda: self._outcome(_TOGETHER, self._run_all(self._begun(), statements, results)))

    def limit(self, seconds: float) -> None:
        """Limit the statements of the transaction, and its idleness."""
        self._limits = Limits(seconds, seconds)

    def cancel(self, error: type[psycopg.Error] = errors.QueryCanceled) -> None:
        """Cancel the statement that waits, if there is one. A commit that waits for a standby is made without it."""
        if self._running is not None:
            self._finish(self._failed(error("the statement was cancelled")))
        elif self.server.is_held(self):
            self.warns = True
            self.server.release(self)

    @property
    def has_unheard(self) -> bool:
        """Whether something is committed of which the client has not heard."""
        return self._unheard is not None

    def heard(self) -> None:
        """Note that the client has got the answer."""
        if self._unheard is not None:
            self._unheard.heard_at, self._unheard = self.server.time(), None

    def disconnect(self) -> None:
        """Hear that the client is gone: after the statement that runs, if there is one, the session ends."""
        self._client_is_gone = True
        if self._answer is None:
            self.server.when_thawed(self._end_if_gone)

    def terminate(self, reason: type[psycopg.Error] = psycopg.OperationalError) -> None:
        """End the session at once, and roll back."""
        if self.ended is not None:
            return
        # What was only not confirmed yet stays committed.
        self.server.release(self)
        self.ended = reason
        self._end_transaction()
        self.server.forget(self)
        self.status = TransactionStatus.UNKNOWN
        if self._answer is not None:
            self._finish(reason("the server has ended the session"))

    def stay_behind(self, left: Database) -> None:
        """Go on with the old primary, which takes no writes; a transaction does not survive that."""
        if self._transaction is not None or self._answer is not None:
            self.terminate()
        self.database = left

    def end_if_expired(self) -> None:
        """End the session if its transaction has been idle for longer than it may be.

        Nothing tells an expired transaction from one that has ended, except to those who look whether it has. So these
        call this, and no timer is needed.
        """
        if self._idles_until() <= self.server.time() + _CLOCK_TICK:
            self.terminate(errors.IdleInTransactionSessionTimeout)

    # Control.

    def _begin(self, text: bytes) -> Result:
        limits = limits_of(text)
        if limits is None:
            raise NotImplementedError(f"the simulated Postgres does not know {text!r}")
        return self._begin_with(limits)

    def _begin_with(self, limits: Limits | None) -> Result:
        if self.status is TransactionStatus.IDLE:
            self._limits = limits
            self._open()
            self.status = TransactionStatus.INTRANS
        self._idle_since = self.server.time()
        return _DONE

    def _commit(self) -> Outcome | asyncio.Future[Outcome]:
        done = self._committed(_DONE)
        if done is not None:
            return done
        answer = self._answer = self._new_answer()
        return answer

    def _committed(self, result: Result) -> Result | None:
        """Commit, and return the result; None if the commit waits for a standby."""
        transaction = self._transaction
        if transaction is not None and transaction.is_logged and self.server.holds_commits:
            # It gives its snapshot up before others see what it has done.
            transaction.snapshot_xmin = None
            self._stop_waiting()
            self._held = result
            self.server.hold(self)
            return None
        self._settle()
        return result

    def commit_held(self) -> None:
        """Go on with a commit that waited for a standby."""
        if self.ended is None:
            self._settle()
            self._finish(self._held)

    def _settle(self) -> None:
        if self._transaction is not None:
            commit = self.database.commit(self._transaction, self.server.time())
            if commit is not None:
                self._unheard = commit
                self.server.on_commit(commit)
        self._end_transaction()
        self.status = TransactionStatus.IDLE

    def _rollback(self) -> Result:
        self._end_transaction()
        self.status = TransactionStatus.IDLE
        return _DONE

    def _open(self) -> Transaction:
        transaction = self._transaction = Transaction(self, self.database)
        self.database.running[transaction] = None
        return transaction

    def _end_transaction(self) -> None:
        self._stop_waiting()
        if self._running is not None:
            self._running.close()
            self._running = None
        self._limits = None
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            self.database.ended(transaction)
            for waiter in transaction.end():
                self.server.soon(waiter)

    # Statements.

    def _execute(self, model: Model, parameters: Parameters) -> Outcome | asyncio.Future[Outcome]:
        transaction = self._begun()
        # A statement with parameters keeps its snapshot until the next one: its portal stays open that long.
        transaction.snapshot_xmin = self.database.oldest_xid() if parameters else None
        return self._outcome(model, self._run(transaction, model, parameters))

    def _begun(self) -> Transaction:
        if self.status is TransactionStatus.INERROR:
            raise errors.InFailedSqlTransaction("current transaction is aborted")
        return self._transaction or self._open()

    def _outcome(self, model: Model, found: Any) -> Outcome | asyncio.Future[Outcome]:
        """Return what comes of a statement that has begun, or a future of that if it has to wait."""
        if isinstance(found, GeneratorType):
            self._running, self._model = found, model
            outcome = self._advance()
        else:
            outcome = self._succeeded(model, found)
        if outcome is not None:
            return outcome
        answer = self._answer = self._new_answer()
        if self._running is not None and self._limits is not None and self._limits.statement > 0:
            self._statements += 1
            time_out = partial(self._time_out, self._statements)
            self._timers.append(self.server.later(self._limits.statement, time_out))
        return answer

    def _run(self, transaction: Transaction, model: Model, parameters: Parameters) -> Any:
        if model.writes and self.database.is_read_only:
            raise errors.ReadOnlySqlTransaction(f"cannot execute {model.name} in a read-only transaction")
        self.server.on_statement(self.client, self.database.timeline_number, model, parameters)
        return model.run(transaction, model.named(parameters))

    def _run_all(
        self, transaction: Transaction, statements: Statements, results: list[Result]
    ) -> Generator[Transaction | None, None, Result]:
        for text, parameters in statements:
            model = model_of(text)
            transaction.snapshot_xmin = self.database.oldest_xid()
            found = self._run(transaction, model, parameters)
            results.append(model.result((yield from found) if isinstance(found, GeneratorType) else found))
        return results[-1]

    def _time_out(self, statement: int) -> None:
        # The commit after it takes as long as it takes.
        if self._running is not None and statement == self._statements:
            self.cancel()

    def _advance(self) -> Outcome | None:
        """Go on with the statement that runs; return what comes of it, None if it has to wait (again)."""
        running, model = self._running, self._model
        assert running is not None
        assert model is not None
        try:
            while True:
                blocker = next(running)
                if blocker is None:
                    moment = self.server.moment()
                    if moment > 0:
                        self._timers.append(self.server.later(moment, self._waits_no_more()))
                        return None
                    continue
                blocker.session.end_if_expired()
                if not blocker.has_ended:
                    self._wait_for(blocker)
                    return None
        except StopIteration as stop:
            self._running = None
            return self._succeeded(model, stop.value)
        except psycopg.Error as error:
            return self._failed(error)

    def _wait_for(self, blocker: Transaction) -> None:
        self.blocked_by = blocker
        blocker.waiters.append(self._waits_no_more())
        self._timers.append(self.server.later(DEADLOCK_TIMEOUT, partial(self._look_for_deadlock, self._wait)))
        blocker.session.end_when_expired()

    def _waits_no_more(self) -> partial[None]:
        self._wait += 1
        return partial(self._go_on, self._wait)

    def _go_on(self, wait: int) -> None:
        if wait != self._wait or self._running is None:
            return
        if self.server.is_frozen:
            self.server.when_thawed(partial(self._go_on, wait))
            return
        self.blocked_by = None
        outcome = self._advance()
        if outcome is not None:
            self._finish(outcome)

    def _look_for_deadlock(self, wait: int) -> None:
        if wait != self._wait:
            return
        seen, blocker = 0, self.blocked_by
        while blocker is not None and seen < 1_000:
            if blocker.session is self:
                self.cancel(errors.DeadlockDetected)
                return
            seen, blocker = seen + 1, blocker.session.blocked_by

    def end_when_expired(self) -> None:
        """End the session at the moment at which its transaction has been idle for too long, for one who waits."""
        until = self._idles_until()
        if until < float("inf"):
            self.server.later(until - self.server.time(), self._end_or_look_again)

    def _end_or_look_again(self) -> None:
        transaction = self._transaction
        self.end_if_expired()
        if self._transaction is not None and self._transaction is transaction and transaction.waiters:
            self.end_when_expired()

    def _idles_until(self) -> float:
        limits, transaction = self._limits, self._transaction
        if limits is None or limits.idle <= 0 or transaction is None or self._answer is not None:
            return float("inf")
        return self._idle_since + limits.idle

    def _succeeded(self, model: Model, found: Any) -> Result | None:
        """Return what a statement returns; None if its commit, which nobody has to ask for, has to wait."""
        self._idle_since = self.server.time()
        result = model.result(found)
        return self._committed(result) if self.status is TransactionStatus.IDLE else result

    def _failed(self, error: psycopg.Error) -> psycopg.Error:
        # The transaction lets go of everything now; the client only has to say that it has heard of it.
        self._end_transaction()
        if self.status is TransactionStatus.INTRANS:
            self.status = TransactionStatus.INERROR
        return error

    def _finish(self, outcome: Outcome) -> None:
        answer, self._answer = self._answer, None
        self._stop_waiting()
        if answer is not None and not answer.done():
            answer.set_result(outcome)
        self._end_if_gone()

    def _end_if_gone(self) -> None:
        if self._client_is_gone and self._answer is None and self.ended is None:
            self.terminate()

    def _stop_waiting(self) -> None:
        self._wait += 1
        self.blocked_by = None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _run_late(self, answer: asyncio.Future[Outcome], work: _Work) -> None:
        found = self._when_awake(work)
        if isinstance(found, asyncio.Future):
            found.add_done_callback(lambda done: _pass_on(answer, done))
        elif not answer.done():
            answer.set_result(found)

    def _new_answer(self) -> asyncio.Future[Outcome]:
        return asyncio.get_running_loop().create_future()


def _pass_on(answer: asyncio.Future[Outcome], done: asyncio.Future[Outcome]) -> None:
    if not answer.done() and not done.cancelled():
        answer.set_result(done.result())
