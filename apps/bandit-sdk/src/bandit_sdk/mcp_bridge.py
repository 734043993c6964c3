"""The command `bandit-mcp`: an MCP server on standard input and output that hands everything on to bandit-service.

The tools are defined once, in the service; this only carries lists of tools, calls and results between an agent that
starts commands and the service's `/mcp`. Every request is a session of its own, so a service that was restarted
meanwhile, or another replica, is no matter. Needs the extra `bandit-sdk[mcp]`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any, Final

import anyio
import httpx
import typer
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    ClientRequest,
    PaginatedRequestParams,
    Tool,
)

from bandit_sdk.connection import async_transport_to, key_headers, service_url, without_secrets

_TIMEOUT: Final = 30.0


class BridgeError(Exception):
    """The service cannot be asked; the text says what to do."""


class Upstream:
    """The service's MCP endpoint."""

    def __init__(self, url: str, api_key: str | None, *, timeout: float = _TIMEOUT) -> None:
        service = service_url(url)
        self._url = f"{str(service).rstrip('/')}/mcp"
        self._http = httpx.AsyncClient(
            headers=key_headers(api_key),
            timeout=timeout,
            event_hooks={"response": [self._check]},
            transport=async_transport_to(service),
        )
        self._refused: str | None = None

    async def instructions(self) -> str | None:
        """Return what the service says about its tools; raise BridgeError if it cannot be asked."""
        async with self._session() as (_, instructions):
            return instructions

    async def list_tools(self) -> list[Tool]:
        """Return the service's tools as it describes them; raise BridgeError if it cannot be asked."""
        async with self._session() as (session, _):
            page = await session.list_tools()
            tools = page.tools
            while page.nextCursor is not None:
                page = await session.list_tools(params=PaginatedRequestParams(cursor=page.nextCursor))
                tools += page.tools
            return tools

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        """Return the service's answer as it is; raise BridgeError if there is none."""
        # Not the session's own method: that would ask for the tools again, to check the answer by their schemas.
        request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments))
        async with self._session() as (session, _):
            return await session.send_request(ClientRequest(request), CallToolResult)

    async def close(self) -> None:
        await self._http.aclose()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[ClientSession, str | None]]:
        self._refused = None
        try:
            async with (
                streamable_http_client(self._url, http_client=self._http) as (read, write, _),
                ClientSession(read, write) as session,
            ):
                opened = await session.initialize()
                yield session, opened.instructions
        # The SDK runs its transport in task groups, which wrap what goes wrong.
        except* (httpx.HTTPError, McpError) as errors:
            raise BridgeError(self._explain(errors)) from None

    async def _check(self, response: httpx.Response) -> None:
        if response.status_code in (401, 403):
            self._refused = f"the service refuses the API key ({response.status_code}): give one in BANDIT_API_KEY"

    def _explain(self, errors: BaseExceptionGroup[Any]) -> str:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        where, why = without_secrets(self._url), str(error) or type(error).__name__
        return self._refused or f"{where} does not answer ({why}): check BANDIT_URL"


def bridge(upstream: Upstream, instructions: str | None) -> Server[object, Any]:
    """Return a server whose tools are the service's."""
    server: Server[object, Any] = Server("bandit-mcp", version=version("bandit-sdk"), instructions=instructions)

    @server.list_tools()  # type: ignore[no-untyped-call, untyped-decorator]
    async def list_tools() -> list[Tool]:
        return await upstream.list_tools()

    # The service checks arguments itself, and says more about what is wrong.
    @server.call_tool(validate_input=False)  # type: ignore[untyped-decorator]
    async def call_tool(name: str, arguments: dict[str, Any]) -> CallToolResult:
        return await upstream.call_tool(name, arguments)

    return server


async def _serve(upstream: Upstream) -> None:
    try:
        server = bridge(upstream, await upstream.instructions())
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())
    finally:
        await upstream.close()


def _command(
    url: Annotated[str, typer.Option(envvar="BANDIT_URL", show_envvar=True)] = "http://127.0.0.1:8000",
    api_key: Annotated[str | None, typer.Option(envvar="BANDIT_API_KEY", show_envvar=True)] = None,
) -> None:
    """Serve the tools of a bandit-service to an agent, on standard input and output."""
    try:
        upstream = Upstream(url, api_key or None)
    except ValueError as error:
        raise typer.BadParameter(f"{error}. See BANDIT_URL and BANDIT_API_KEY.") from None
    try:
        anyio.run(_serve, upstream)
    except BridgeError as error:
        typer.echo(f"bandit-mcp: {error}", err=True)
        raise typer.Exit(1) from None


def run() -> None:
    """Run the command."""
    typer.run(_command)
