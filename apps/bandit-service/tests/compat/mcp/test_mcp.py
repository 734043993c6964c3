"""Agents and their tools: the official SDK's client, over HTTP, against a service that runs."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from bandit_service.domain.api_key import Role

if TYPE_CHECKING:
    from compat.conftest import Served
    from conftest import RunReplica

    from bandit_service.settings import Settings

LIST_TOOLS = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ACCEPT = {"Accept": "application/json, text/event-stream"}
_numbers = itertools.count(1)


@asynccontextmanager
async def agent(served: Served, role: Role, header: str = "X-Api-Key") -> AsyncIterator[ClientSession]:
    key = served.keys[role]
    headers = {header: f"Bearer {key}" if header == "Authorization" else key}
    async with (
        httpx.AsyncClient(headers=headers, timeout=30.0) as http,
        streamable_http_client(f"{served.url}/mcp", http_client=http) as (reading, writing, _),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        yield session


async def used(session: ClientSession, tool: str, **arguments: Any) -> str:
    """Return what a tool says; one that fails fails the test."""
    failed, text = await answered(session, tool, **arguments)
    assert not failed, text
    return text


async def answered(session: ClientSession, tool: str, **arguments: Any) -> tuple[bool, str]:
    result = await session.call_tool(tool, arguments)
    [content] = result.content
    assert isinstance(content, TextContent)
    return result.isError, content.text


async def created(served: Served) -> str:
    name = f"routing_{next(_numbers)}"
    async with agent(served, "admin") as session:
        await used(session, "create_campaign", campaign_id=name, arms=["fast", "cheap"], feature_dim=2, alpha=0.5)
    return name


async def test_an_agent_gets_five_tools(served: Served) -> None:
    async with agent(served, "reader", "Authorization") as session:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
    assert tools.keys() == {
        "create_campaign",
        "list_campaigns",
        "campaign_diagnostics",
        "get_intuition",
        "record_outcome",
    }
    assert all(tool.description for tool in tools.values())
    assert tools["record_outcome"].inputSchema["required"] == ["interaction_id", "reward"]
    assert tools["create_campaign"].inputSchema["properties"].keys() >= {"algorithm", "alpha", "decay_half_life_hours"}


async def test_what_one_agent_reports_every_agent_sees(served: Served) -> None:
    name = await created(served)
    async with agent(served, "writer") as one:
        advice = await used(one, "get_intuition", campaign_id=name, context=[0.5, 1.0], exclude_arms=["fast"])
        action, interaction_id = advice.splitlines()[0], advice.split()[-1]
        assert action == "Take action 'cheap'."
        assert "learns" in await used(one, "record_outcome", interaction_id=interaction_id, reward=1.0)
        repeated = await used(one, "record_outcome", interaction_id=interaction_id, reward=0.0)
        assert repeated == "Nothing was changed. An outcome of this interaction counts already, with reward 1."
    async with agent(served, "reader") as another:
        assert f"- {name}: 2 arms, alpha 0.5, linucb" in await used(another, "list_campaigns")
        found = await used(another, "campaign_diagnostics", campaign_id=name)
    assert "1 predictions, 1 rewards" in found
    assert "- cheap (active): theta_norm" in found
    assert served.client().report(name)["total_rewards"] == 1


async def test_lists_may_be_sent_as_text(served: Served) -> None:
    name = f"routing_{next(_numbers)}"
    async with agent(served, "admin") as session:
        await used(session, "create_campaign", campaign_id=name, arms='["fast", "org/model:8b"]', feature_dim="2")
        arguments = {"campaign_id": name, "context": "[0.5, 1]", "eligible_arms": "null", "exclude_arms": '["fast"]'}
        advice = await used(session, "get_intuition", **arguments)
    assert advice.splitlines()[0] == "Take action 'org/model:8b'."


@pytest.mark.parametrize(
    ("role", "tool", "arguments"),
    [
        ("reader", "get_intuition", {"campaign_id": "any", "context": [1.0]}),
        ("reader", "record_outcome", {"interaction_id": "any", "reward": 1.0}),
        ("writer", "create_campaign", {"campaign_id": "any", "arms": ["a", "b"], "feature_dim": 1}),
    ],
)
async def test_a_tool_needs_its_role(served: Served, role: Role, tool: str, arguments: dict[str, Any]) -> None:
    async with agent(served, role) as session:
        failed, text = await answered(session, tool, **arguments)
    assert failed
    assert f"yours is a {role}" in text


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("get_intuition", {"campaign_id": "unknown", "context": [1.0]}, "there is no campaign 'unknown'"),
        ("get_intuition", {"campaign_id": "unknown"}, "context: Field required"),
        ("get_intuition", {"campaign_id": "any", "context": "0.1, 0.2"}, "context: Input should be a valid list"),
        ("record_outcome", {"interaction_id": "never-issued", "reward": 1.0}, "interaction_id"),
        ("campaign_diagnostics", {"campaign_id": "unknown", "more": 1}, "more"),
        ("create_campaign", {"campaign_id": "x", "arms": ["a"], "feature_dim": 1}, "arms"),
        ("forget_everything", {}, "there is no tool 'forget_everything'"),
    ],
)
async def test_a_tool_that_fails_says_why(served: Served, tool: str, arguments: dict[str, Any], says: str) -> None:
    async with agent(served, "admin") as session:
        failed, text = await answered(session, tool, **arguments)
    assert failed
    assert says in text


async def test_without_a_key_there_is_nothing(served: Served) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{served.url}/mcp", json=LIST_TOOLS, headers=ACCEPT)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


async def test_any_replica_answers_any_request(served: Served) -> None:
    """Nothing has to have been said before: no session, no initialization."""
    headers = ACCEPT | {"X-Api-Key": served.keys["reader"]}
    async with httpx.AsyncClient(headers=headers) as http:
        answer = await http.post(f"{served.url}/mcp", json=LIST_TOOLS)
        assert len(answer.json()["result"]["tools"]) == 5
        assert "mcp-session-id" not in answer.headers
        assert (await http.get(f"{served.url}/mcp")).status_code == 405


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8000", 200), ("localhost", 200), ("devbox", 200), ("devbox:8000", 200), ("evil.example", 403)],
)
async def test_where_no_key_is_needed_a_web_page_cannot_reach_it(
    module_settings: Settings, run_replica: RunReplica, host: str, status: int
) -> None:
    """By a name of its own that leads to this machine (DNS rebinding)."""
    async with run_replica(module_settings.model_copy(update={"host_names": "devbox"})) as http:
        answer = await http.post("/mcp", json=LIST_TOOLS, headers=ACCEPT | {"Host": host})
    assert answer.status_code == status
