"""The HTTP server: uvicorn, with the patience for slow clients and the bound on connections that it lacks."""

from __future__ import annotations

from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp

from bandit_service.http.http_connection import HttpConnection
from bandit_service.metrics import Metrics
from bandit_service.settings import Settings

SHUTDOWN_SECONDS: Final = 10
# uvicorn ticks ten times a second.
_CHECK_EVERY_TICKS: Final = 5


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

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does, and look the connections over."""
        if counter % _CHECK_EVERY_TICKS == 0:
            for connection in list(self.server_state.connections):
                cast("HttpConnection", connection).cut_if_slow(self._patience)
        return await super().on_tick(counter)


def _connections(settings: Settings, metrics: Metrics) -> type[HttpConnection]:
    """Return the class of this server's connections: uvicorn makes them itself, and passes on nothing of ours."""

    class Connection(HttpConnection):
        most = settings.max_connections
        cut = metrics.connections_cut

    return Connection
