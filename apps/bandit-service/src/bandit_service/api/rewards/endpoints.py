"""POST /reward and /reward/batch."""

from __future__ import annotations

from starlette.routing import Route

from bandit_core.rules.requests import BatchRequest, RewardRequest, RewardResponse
from bandit_service.api.decisions.endpoints import EXAMPLE_ID
from bandit_service.api.rewards.service import Rewards
from bandit_service.http.fast_path import FastEndpoint, FastPath, one_by_one

REWARD = FastEndpoint(
    path="/reward",
    tag="rewards",
    summary="What came of a decision",
    description=(
        "Counted exactly once per decision: sent again, it answers `duplicate`. If it names an arm as well, and "
        "another was decided, it is refused (409). While Postgres does not answer, or with `Prefer: respond-async`, "
        "it answers 202 and `queued`. A direct reward names an experiment and an arm; with a `reward_id` it is counted "
        "once, without one every call counts."
    ),
    request=RewardRequest,
    response=RewardResponse,
    problems=(401, 403, 404, 409, 410, 413, 415, 422, 429, 503),
    may_respond_async=True,
    request_example={"decision_id": EXAMPLE_ID, "reward": 1},
    response_example={
        "status": "applied",
        "experiment_id": "homepage",
        "arm": "b",
        "decision_id": EXAMPLE_ID,
        "reward": 1.0,
    },
)
REWARD_BATCH = FastEndpoint(
    path="/reward/batch",
    tag="rewards",
    summary="Up to 1,000 rewards, each with its own result",
    description="Items are independent: one that is refused does not touch the others.",
    request=BatchRequest,
    item=RewardRequest,
    response=RewardResponse,
    problems=(401, 403, 413, 415, 422, 429, 503),
    request_example={"items": [{"decision_id": EXAMPLE_ID, "reward": 1}]},
)


def routes(fast_path: FastPath, rewards: Rewards) -> list[Route]:
    """Return the routes of rewards."""
    return [
        fast_path.route(REWARD, rewards.reward),
        fast_path.batch_route(REWARD_BATCH, one_by_one(rewards.begin), rewards.finish),
    ]
