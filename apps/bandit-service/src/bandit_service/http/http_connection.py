"""One client's connection: what it may keep us waiting for, and how much it may send before it says what it wants."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final, Literal, cast

from httptools import HttpParserError, HttpParserUpgrade
from prometheus_client import Counter
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from bandit_core.rules.problems import HeadTooLarge, Problem, TooSlow, Unavailable, Unreadable
from bandit_service.http.coalescing_transport import CoalescingTransport
from bandit_service.http.problems import RETRY_AFTER, problem_response

MOST_HEAD_BYTES: Final = 65_536
# So many past the bound are told so; any more are closed without a word.
TOLD_SO: Final = 100
# These come through on a connection past the bound: a busy process is not to be restarted, nor to be lost from sight.
_PROBES: Final = frozenset({"/health", "/ready", "/metrics"})

type Reason = Literal["slow request", "slow reader", "large head", "too many"]


class HttpConnection(HttpToolsProtocol):
    """uvicorn's protocol, which by itself waits for a client indefinitely and holds any number of them.

    A request has to be there as a whole within the time given, however busily its pieces keep coming, and an answer has
    to be taken in. Times are the event loop's. A request that asks for another protocol, as Java's client does with
    `Upgrade: h2c`, is served as if it had not asked. Subclasses give the bound and the counter.
    """

    most: ClassVar[int]
    cut: ClassVar[Counter]

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - whatever uvicorn passes
        super().__init__(*arguments, **named)
        self._waiting_since: float | None = None
        self._blocked_since: float | None = None
        self._in_request = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(cast("asyncio.Transport", CoalescingTransport(transport, self.loop)))
        self._waiting_since = self.loop.time()
        past_bound = len(self.connections) - self.most
        if past_bound > 0:
            self._count("too many")
            self.app = _turning_away(self.app)
        if past_bound > TOLD_SO:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._in_request:
            # uvicorn types the scope as it is once the head was read.
            if "method" not in cast("dict[str, object]", self.scope):
                self._measure_head(len(data))
        elif self._waiting_since is None and self._is_idle():
            # Bytes that begin no request, such as empty lines, have stopped uvicorn's own timer.
            self._waiting_since = self.loop.time()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._waiting_since = self.loop.time()
        self._in_request = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._waiting_since = None
        self._in_request = False

    def pause_writing(self) -> None:
        super().pause_writing()
        self._blocked_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._blocked_since = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(Unreadable(msg))

    def cut_if_slow(self, patience: float) -> None:
        """End the connection if its client has kept us waiting for so many seconds."""
        now = self.loop.time()
        if self._blocked_since is None and self.transport.is_closing():
            # It is closed as soon as the client has taken in the rest of its answer.
            self._blocked_since = now
        if self._blocked_since is not None and now - self._blocked_since > patience:
            self._count("slow reader")
            self.transport.abort()
        elif self._waiting_since is not None and now - self._waiting_since > patience:
            self._cut_request(now, patience)

    def _feed(self, data: bytes) -> None:
        """Have the parser read what was received.

        At a request that asks for another protocol the parser stops after the headers, and takes its body for the other
        protocol. So it reads the headers again without those that ask, and then the body.
        """
        while data:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as stopped:
                if self.parser.get_method() == b"CONNECT":
                    raise HttpParserError("this is no proxy") from None
                data = self._plain_head() + data[stopped.args[0] :]
            else:
                return

    def _plain_head(self) -> bytes:
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        for name, value in self.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                lines.append(b"connection: " + b", ".join(each for each in options if each.lower() != b"upgrade"))
            elif name != b"upgrade":
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"\r\n"])

    def _cut_request(self, now: float, patience: float) -> None:
        if self.flow.read_paused:
            # It is we who do not read: an earlier request of the client's is still at work.
            self._waiting_since = now
            return
        self._waiting_since = None
        self._count("slow request")
        if self._in_request and self._is_idle():
            self._refuse(TooSlow(f"the request was not there as a whole within {patience:g} s"))
        else:
            self.transport.close()

    def _measure_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            self._count("large head")
            self._refuse(HeadTooLarge(f"a request's path and headers may hold at most {MOST_HEAD_BYTES} bytes"))

    def _is_idle(self) -> bool:
        """Say whether nothing has been answered in part: neither the request at hand nor one before it."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started)

    def _refuse(self, problem: Problem) -> None:
        """Answer below the application, and close."""
        if self.transport.is_closing():
            return
        problem.headers["Connection"] = "close"
        response = problem_response(problem)
        headers = [name + b": " + value + b"\r\n" for name, value in response.raw_headers]
        self.transport.write(b"".join([STATUS_LINE[response.status_code], *headers, b"\r\n", bytes(response.body)]))
        self.transport.close()

    def _count(self, reason: Reason) -> None:
        self.cut.labels(reason).inc()


def _turning_away(app: ASGIApp) -> ASGIApp:
    """Return what a connection past the bound gets to speak to."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in _PROBES:
            await app(scope, receive, send)
            return
        problem = Unavailable("this process holds as many connections as it may", retry_after=RETRY_AFTER)
        problem.headers["Connection"] = "close"
        await problem_response(problem)(scope, receive, send)

    return answer
