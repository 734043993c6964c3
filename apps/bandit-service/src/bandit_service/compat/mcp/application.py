"""POST /mcp: who is calling, then the SDK's server, which is imported when the first agent comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from bandit_service.compat.mcp.tools import PRINCIPAL, Tool
from bandit_service.http.rate_limit import Admission

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATH: Final = "/mcp"


class McpApplication:
    """An ASGI application. The SDK's task group has to be entered and left by one task: that is a task of its own."""

    def __init__(self, tools: Sequence[Tool], admission: Admission) -> None:
        self._tools = tools
        self._admission = admission
        self._starting: asyncio.Task[StreamableHTTPSessionManager] | None = None
        self._running: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = await self._admission.admit(Headers(scope=scope))
        bind_contextvars(principal=principal.name)
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        manager = await asyncio.shield(self._starting)
        await manager.handle_request({**scope, PRINCIPAL: principal}, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let agents in until the end; requests that are being answered then are cut off."""
        try:
            yield
        finally:
            self._closing.set()
            if self._running is not None:
                await self._running

    async def _start(self) -> StreamableHTTPSessionManager:
        await asyncio.to_thread(import_module, "bandit_service.compat.mcp.server")
        from bandit_service.compat.mcp.server import manager_of

        manager = manager_of(self._tools)
        entered = asyncio.Event()
        self._running = asyncio.create_task(self._run(manager, entered))
        await entered.wait()
        return manager

    async def _run(self, manager: StreamableHTTPSessionManager, entered: asyncio.Event) -> None:
        async with manager.run():
            entered.set()
            await self._closing.wait()
