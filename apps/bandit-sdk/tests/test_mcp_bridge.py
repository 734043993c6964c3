"""The command an agent starts, between the SDK's own client and the real service."""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, InitializeResult, TextContent

from bandit_sdk.mcp_bridge import BridgeError, Upstream

if TYPE_CHECKING:
    from conftest import Service

COMMAND = str(Path(sysconfig.get_path("scripts")) / "bandit-mcp")


@asynccontextmanager
async def started(url: str, api_key: str) -> AsyncIterator[tuple[ClientSession, InitializeResult]]:
    parameters = StdioServerParameters(command=COMMAND, env={"BANDIT_URL": url, "BANDIT_API_KEY": api_key})
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        yield session, await session.initialize()


def text(result: CallToolResult) -> str:
    return "\n".join(content.text for content in result.content if isinstance(content, TextContent))


async def test_tools_calls_and_results_are_those_of_the_service(service: Service) -> None:
    campaign = {"campaign_id": "bridge", "arms": ["a", "b"], "feature_dim": 2}
    headers = {"X-Api-Key": service.keys["admin"]}
    async with (
        httpx.AsyncClient(headers=headers) as http,
        streamable_http_client(f"{service.url}/mcp", http_client=http) as (read, write, _),
        ClientSession(read, write) as direct,
    ):
        expected = await direct.initialize()
        tools = await direct.list_tools()
        async with started(service.url, service.keys["admin"]) as (agent, opened):
            assert opened.instructions == expected.instructions
            assert await agent.list_tools() == tools
            created = await agent.call_tool("create_campaign", campaign)
            assert not created.isError, text(created)
            listed = await agent.call_tool("list_campaigns", {})
            assert listed == await direct.call_tool("list_campaigns", {})
            assert "bridge" in text(listed)
            wrong = await agent.call_tool("create_campaign", campaign)
            assert wrong.isError
            assert text(wrong) == text(await direct.call_tool("create_campaign", campaign))


async def test_roles_apply(service: Service) -> None:
    async with started(service.url, service.keys["reader"]) as (agent, _):
        refused = await agent.call_tool(
            "create_campaign", {"campaign_id": "bridge-2", "arms": ["a", "b"], "feature_dim": 2}
        )
        assert refused.isError
        assert "admin" in text(refused)


async def test_a_key_that_is_refused_is_named(service: Service) -> None:
    upstream = Upstream(service.url, "bandit_nobody_x")
    with pytest.raises(BridgeError, match="BANDIT_API_KEY"):
        await upstream.instructions()
    await upstream.close()


def test_a_service_that_is_away_ends_the_command_with_what_to_do() -> None:
    done = subprocess.run(
        [COMMAND, "--url", "http://127.0.0.1:9"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "http://127.0.0.1:9/mcp does not answer" in done.stderr
    assert "BANDIT_URL" in done.stderr
    assert "Traceback" not in done.stderr
