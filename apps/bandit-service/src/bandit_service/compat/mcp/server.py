"""The tools as a server of the official SDK, and how it speaks HTTP: one request at a time, nothing remembered."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

import structlog
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import TextContent
from mcp.types import Tool as McpTool
from pydantic import ValidationError

from bandit_core.rules.problems import Problem
from bandit_service.compat.mcp.tools import PRINCIPAL, Tool
from bandit_service.domain.api_key import Principal
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError

INSTRUCTIONS: Final = (
    "A memory for decisions that all agents share. Ask get_intuition which action to take, act, and report with "
    "record_outcome how it went."
)
_AWAY = (PostgresUnavailableError, StoreUnavailableError, StoreFullError)
log = structlog.get_logger(__name__)


class ToolFailedError(Exception):
    """Its text is what the agent is told."""


def manager_of(tools: Sequence[Tool]) -> StreamableHTTPSessionManager:
    """Return what answers the requests; any replica can answer any of them.

    Which hosts and web pages may ask is checked before, as for every other path.
    """
    return StreamableHTTPSessionManager(_server(tools), json_response=True, stateless=True)


def _server(tools: Sequence[Tool]) -> Server[object, Any]:
    server: Server[object, Any] = Server("bandit-service", version=version("bandit-service"), instructions=INSTRUCTIONS)
    by_name = {tool.name: tool for tool in tools}

    @server.list_tools()  # type: ignore[no-untyped-call, untyped-decorator]
    async def list_tools() -> list[McpTool]:
        return [
            McpTool(name=tool.name, description=tool.description, inputSchema=tool.arguments.model_json_schema())
            for tool in tools
        ]

    # Arguments are checked against the same schema below, with errors that say more.
    @server.call_tool(validate_input=False)  # type: ignore[untyped-decorator]
    async def call_tool(name: str, arguments: dict[str, Any]) -> list[TextContent]:
        tool = by_name.get(name)
        if tool is None:
            raise ToolFailedError(f"there is no tool {name!r}; there are {', '.join(by_name)}")
        request: Any = server.request_context.request
        return [TextContent(type="text", text=await _called(tool, arguments, request.scope[PRINCIPAL]))]

    return server


async def _called(tool: Tool, arguments: dict[str, Any], principal: Principal) -> str:
    try:
        principal.require(tool.role)
        return await tool.call(tool.arguments(**arguments), principal)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ToolFailedError(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from None
    except Problem as problem:
        raise ToolFailedError(problem.detail) from None
    except _AWAY as error:
        log.warning("tool_unavailable", tool=tool.name, reason=str(error))
        raise ToolFailedError("a server behind this service is away; try again later") from None
    except Exception:
        log.exception("tool_failed", tool=tool.name)
        raise ToolFailedError("the service failed; its log has the details") from None
