"""The experiment of the main job, as its owner sees it over HTTP: create it, read how it stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from bandit_local.errors import LocalError
from bandit_local.obd import Item
from bandit_local.options import Options
from bandit_local.visitors import PASSING, explanation

NAME = "obd-women"
UPDATE_EVERY = 0.1


class UnavailableError(LocalError):
    """The service cannot say at the moment; asking again later is right."""


@dataclass(frozen=True, slots=True)
class ArmState:
    """What the service believes of one arm; ``prob_best`` is None for an arm that was retired meanwhile."""

    arm: str
    decisions: int
    rewards: int
    reward_sum: float
    mean: float
    low: float
    high: float
    prob_best: float | None
    weight: float


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """How the experiment stands; ``sentence`` is what the stopping rule says."""

    arms: tuple[ArmState, ...]
    leader_id: str
    expected_loss: float
    progress: float
    concluded: bool
    winner: str | None
    sentence: str

    @property
    def decisions(self) -> int:
        return sum(arm.decisions for arm in self.arms)

    @property
    def leader(self) -> ArmState:
        return next(arm for arm in self.arms if arm.arm == self.leader_id)

    def verdict(self) -> str:
        """Return the verdict as one line; it names a winner when there is one."""
        winner = "" if self.winner is None else f" (winner {self.winner})"
        return f"Verdict{winner}: {self.sentence}"


def definition(experiment_id: str, items: Sequence[Item], options: Options) -> dict[str, Any]:
    """Return the request that creates the experiment: Thompson sampling, concluded by the stopping rule itself."""
    return {
        "experiment_id": experiment_id,
        "description": "Items of the Open Bandit sample (random policy, campaign women) and simulated visitors",
        "arms": [item.arm for item in items],
        "policy": {"name": "thompson"},
        "guardrails": {"preset": "neutral"},
        "stopping": {
            "min_decisions": options.min_decisions,
            "min_decisions_per_arm": 0,
            "prob_best": options.prob_best,
            "expected_loss": options.expected_loss,
            "combine": "any",
            "auto_conclude": True,
        },
        "update_every": UPDATE_EVERY,
    }


async def create(client: httpx.AsyncClient, items: Sequence[Item], options: Options) -> str:
    """Create the experiment and return its id; earlier runs keep theirs, so this one gets the next number."""
    number, experiment_id = 1, NAME
    while True:
        response = await _send(client, "POST", "/experiments", definition(experiment_id, items, options))
        if response.is_success:
            return experiment_id
        if response.status_code != httpx.codes.CONFLICT:
            raise LocalError(f"The service refused the experiment: {explanation(response)}")
        number += 1
        experiment_id = f"{NAME}-{number}"


async def read(client: httpx.AsyncClient, experiment_id: str) -> ExperimentState:
    """Read how the experiment stands; UnavailableError when that cannot be said at the moment."""
    posterior = await _get(client, f"/experiments/{experiment_id}/posterior")
    conclusion = await _get(client, f"/experiments/{experiment_id}/conclusion")
    return ExperimentState(
        arms=tuple(_arm_state(arm) for arm in posterior["arms"]),
        leader_id=posterior["leader"],
        expected_loss=posterior["expected_loss"],
        progress=conclusion["progress"],
        concluded=conclusion["status"] == "concluded",
        winner=conclusion["winner"],
        sentence=conclusion["sentence"],
    )


def _arm_state(arm: dict[str, Any]) -> ArmState:
    low, high = arm["interval"]
    return ArmState(
        arm=arm["arm"],
        decisions=arm["decisions"],
        rewards=arm["rewards"],
        reward_sum=arm["reward_sum"],
        mean=arm["mean"],
        low=low,
        high=high,
        prob_best=arm["prob_best"],
        weight=arm["weight"],
    )


async def _get(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    response = await _send(client, "GET", path)
    if not response.is_success:
        raise LocalError(f"The service answered {response.status_code} to {path}: {explanation(response)}")
    answer: dict[str, Any] = response.json()
    return answer


async def _send(client: httpx.AsyncClient, method: str, path: str, body: object = None) -> httpx.Response:
    try:
        response = await client.request(method, path, json=body)
    except httpx.TransportError as error:
        raise UnavailableError(f"The service does not answer {path}: {error!r}") from error
    if response.status_code in PASSING:
        raise UnavailableError(f"The service answered {response.status_code} to {path}: {explanation(response)}")
    return response
