"""The tools agents get: what they take, what they do, and what they say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bandit_service.compat.banditdb.schemas import CampaignDiagnostics, CreateCampaign, Predict, Reward
from bandit_service.compat.banditdb.service import BanditDb
from bandit_service.domain.api_key import Principal, Role

PRINCIPAL: Final = "bandit.principal"
"""Where the ASGI scope of a request holds who is calling."""


def _list_of(given: object) -> object:
    """Return the list that a text stands for: several agents' clients send lists as JSON in a text."""
    if isinstance(given, str):
        try:
            return msgspec.json.decode(given, type=list | None)
        except msgspec.DecodeError:
            return given
    return given


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CreateCampaignArguments(_Arguments):
    """What create_campaign takes."""

    campaign_id: Annotated[str, Field(description="A name for this kind of decision, such as llm_routing")]
    arms: Annotated[
        list[str],
        BeforeValidator(_list_of),
        Field(description="The options to choose between, such as gpt-4o and claude-haiku"),
    ]
    feature_dim: Annotated[int, Field(description="How many numbers every context has")]
    alpha: Annotated[
        float, Field(description="How much to explore: 0.1 exploits early, 3.0 tries uncertain options for long")
    ] = 1.0
    algorithm: Annotated[str, Field(description="linucb, or thompson_sampling")] = "linucb"
    decay_half_life_hours: Annotated[
        float | None,
        Field(description="Hours after which an outcome weighs half, where the world changes; never if left out"),
    ] = None


class NoArguments(_Arguments):
    """What list_campaigns takes."""


class CampaignArguments(_Arguments):
    """What campaign_diagnostics takes."""

    campaign_id: Annotated[str, Field(description="The campaign to look at")]


class IntuitionArguments(_Arguments):
    """What get_intuition takes."""

    campaign_id: Annotated[str, Field(description="The campaign to decide in")]
    context: Annotated[
        list[float],
        BeforeValidator(_list_of),
        Field(description="The situation as numbers, always in the same order and best between -1 and 1"),
    ]
    eligible_arms: Annotated[
        list[str] | None, BeforeValidator(_list_of), Field(description="Choose among these only, this time")
    ] = None
    exclude_arms: Annotated[
        list[str] | None, BeforeValidator(_list_of), Field(description="Leave these out, this time")
    ] = None


class OutcomeArguments(_Arguments):
    """What record_outcome takes."""

    interaction_id: Annotated[str, Field(description="What get_intuition returned")]
    reward: Annotated[float, Field(description="1.0 for success, 0.0 for failure, in between for something in between")]


class Tool(NamedTuple):
    """A tool: its description is what an agent decides by whether to use it."""

    name: str
    description: str
    role: Role
    arguments: type[_Arguments]
    call: Callable[[Any, Principal], Awaitable[str]]


def tools(banditdb: BanditDb) -> list[Tool]:
    """Return all tools."""

    async def create_campaign(arguments: CreateCampaignArguments, principal: Principal) -> str:
        await banditdb.create(CreateCampaign(**arguments.model_dump()), principal)
        return (
            f"Campaign {arguments.campaign_id!r} is created. Call get_intuition with a context of "
            f"{arguments.feature_dim} numbers."
        )

    async def list_campaigns(_: NoArguments, principal: Principal) -> str:
        found = [
            f"- {each.campaign_id}: {each.arm_count} arms, alpha {each.alpha:g}, {each.algorithm}"
            for each in await banditdb.campaigns(principal)
            if not each.archived
        ]
        return "\n".join(found) if found else "There are no campaigns. Create one with create_campaign."

    async def campaign_diagnostics(arguments: CampaignArguments, principal: Principal) -> str:
        return described(await banditdb.diagnostics(arguments.campaign_id, principal))

    async def get_intuition(arguments: IntuitionArguments, principal: Principal) -> str:
        prediction = await banditdb.predict(Predict(**arguments.model_dump()), principal)
        return (
            f"Take action {prediction.arm_id!r}.\n"
            f"Keep this interaction_id for record_outcome: {prediction.interaction_id}"
        )

    async def record_outcome(arguments: OutcomeArguments, principal: Principal) -> str:
        counted = await banditdb.reward(Reward(**arguments.model_dump()), principal)
        if counted.status == "duplicate":
            return (
                f"Nothing was changed. An outcome of this interaction counts already, with reward {counted.reward:g}."
            )
        if counted.status == "queued":
            return (
                "Written down. The campaign learns from it soon, unless an outcome of this interaction counts already."
            )
        return "Recorded. The campaign learns from it."

    return [
        Tool(
            "create_campaign",
            "Create a decision campaign: once, before get_intuition is used for a new kind of decision.",
            "admin",
            CreateCampaignArguments,
            create_campaign,
        ),
        Tool(
            "list_campaigns",
            "List all active campaigns with arm count and alpha.",
            "reader",
            NoArguments,
            list_campaigns,
        ),
        Tool(
            "campaign_diagnostics",
            "Show per arm theta_norm, prediction count and reward rate, and whether the campaign still explores. "
            "Use it when a campaign is not learning.",
            "reader",
            CampaignArguments,
            campaign_diagnostics,
        ),
        Tool(
            "get_intuition",
            "Ask which action to take in a situation. Returns the action and an interaction_id to keep.",
            "writer",
            IntuitionArguments,
            get_intuition,
        ),
        Tool(
            "record_outcome",
            "Report success (1.0) or failure (0.0) of the action that get_intuition recommended; every agent learns "
            "from it. Sent again for the same interaction_id, it changes nothing.",
            "writer",
            OutcomeArguments,
            record_outcome,
        ),
    ]


def described(found: CampaignDiagnostics) -> str:
    """Return a campaign's diagnostics as text."""
    lines = [
        f"Campaign {found.campaign_id} ({found.algorithm}, alpha {found.alpha:g})",
        f"{found.total_predictions} predictions, {found.total_rewards} rewards",
        f"Exploration: {found.entropy_status}, entropy {found.selection_entropy:.3f}, trend {found.entropy_trend}",
    ]
    if found.likely_cause is not None:
        lines.append(f"Likely cause: {found.likely_cause}; {found.suggested_action}")
    for arm, stats in sorted(found.arm_stats.items()):
        mean = "none yet" if stats.avg_reward is None else f"{stats.avg_reward:.3f}"
        lines.append(
            f"- {arm} ({stats.status}): theta_norm {stats.theta_norm:.4f}, {stats.predictions} predictions, "
            f"{stats.rewards} rewards, mean reward {mean}"
        )
    return "\n".join(lines)
