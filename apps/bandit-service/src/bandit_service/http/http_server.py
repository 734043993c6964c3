"""The HTTP server: uvicorn, with the patience for slow clients and the bound on connections that it lacks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import FrameType
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp

from bandit_service.http.http_connection import HttpConnection
from bandit_service.metrics import Metrics
from bandit_service.settings import Settings

SHUTDOWN_SECONDS: Final = 10
_CHECK_EVERY: Final = 0.5
# uvicorn counts in tenths of a second.
_TICKS: Final = 5


class HttpServer(uvicorn.Server):
    """Looks over its connections twice a second, and cuts those whose client keeps it waiting.

    One look over all of them, instead of a timer for each request: a request then costs the noting of a time.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=_connections(settings, metrics),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]  # seconds of call_later
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        self._patience = settings.client_timeout
        self._is_told_to_end = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Tick until the process is told to end: a fifth as often as uvicorn, which looks whether it was told."""
        self._loop = asyncio.get_running_loop()
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + _TICKS) % 864_000
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_told_to_end.wait(), _CHECK_EVERY)

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does, and look the connections over."""
        for connection in list(self.server_state.connections):
            cast("HttpConnection", connection).cut_if_slow(self._patience)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Do what uvicorn does, and end at once."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._is_told_to_end.set)


def _connections(settings: Settings, metrics: Metrics) -> type[HttpConnection]:
    """Return the class of this server's connections: uvicorn makes them itself, and passes on nothing of ours."""

    class Connection(HttpConnection):
        most = settings.max_connections
        cut = metrics.connections_cut

    return Connection
