"""BanditDB's own MCP command, as it comes with its client: its agents change the URL and nothing else."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import TextContent

if TYPE_CHECKING:
    from compat.conftest import Served

# What is used, with which arguments, and words of the answer; ID stands for what get_intuition returned.
STORY: list[tuple[str, dict[str, Any], str]] = [
    ("create_campaign", {"campaign_id": "agents", "arms": ["a", "b"], "feature_dim": 2}, "created with 2 arms"),
    ("list_campaigns", {}, "agents — 2 arms, alpha=1.0, algorithm=linucb"),
    ("get_intuition", {"campaign_id": "agents", "context": [0.5, 1.0]}, "Take action"),
    ("record_outcome", {"interaction_id": "ID", "reward": 1.0}, "weights updated"),
    ("batch_get_intuition", {"predictions": [{"campaign_id": "agents", "context": [0.5, 1.0]}]}, "agents: arm="),
    ("campaign_diagnostics", {"campaign_id": "agents"}, "Totals: 2 predictions, 1 rewards"),
    ("campaign_report", {"campaign_id": "agents"}, "Overall reward rate: 100.0%"),
    ("campaign_budget", {"campaign_id": "agents"}, "no budget constraints"),
    ("add_arm", {"campaign_id": "agents", "arm_id": "c"}, "Arm 'c' added"),
    ("set_arm_status", {"campaign_id": "agents", "arm_id": "c", "status": "paused"}, "is now paused"),
    ("archive_campaign", {"campaign_id": "agents"}, "archived"),
    ("get_intuition", {"campaign_id": "agents", "context": [0.5, 1.0]}, "is archived: restore it first"),
    ("restore_campaign", {"campaign_id": "agents"}, "restored"),
]
READING = {"campaign_diagnostics", "campaign_report"}


async def test_all_its_tools_work(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "banditdb.mcp_server"],
        env={"BANDITDB_URL": f"{served.url}/banditdb", "BANDITDB_API_KEY": served.keys["admin"]},
    )
    with capfd.disabled():
        async with stdio_client(command) as streams, ClientSession(*streams) as session:
            await session.initialize()
            assert {tool.name for tool in (await session.list_tools()).tools} == {tool for tool, _, _ in STORY}
            interaction_id = ""
            for tool, arguments, words in STORY:
                filled = {key: interaction_id if value == "ID" else value for key, value in arguments.items()}
                text = await said(session, tool, filled)
                # Outcomes are learnt within a second.
                deadline = time.monotonic() + 8.0
                while tool in READING and words not in text and time.monotonic() < deadline:
                    text = await said(session, tool, filled)
                assert words in text
                interaction_id = text.split()[-1]


async def said(session: ClientSession, tool: str, arguments: dict[str, Any]) -> str:
    [content] = (await session.call_tool(tool, arguments)).content
    assert isinstance(content, TextContent)
    return content.text
