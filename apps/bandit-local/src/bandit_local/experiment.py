"""The experiment of the main job, as its owner sees it over HTTP: create it, read how it stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bandit_local.obd import Item
from bandit_local.options import Options
from bandit_sdk import AsyncClient
from bandit_sdk.errors import ConflictError
from bandit_sdk.results import ArmPosterior, Conclusion, Posterior

NAME = "obd-women"
UPDATE_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """How the experiment stands: what is believed of its arms, and what the stopping rule says."""

    posterior: Posterior
    conclusion: Conclusion

    @property
    def decisions(self) -> int:
        return sum(arm.decisions for arm in self.posterior.arms)

    @property
    def leader(self) -> ArmPosterior:
        return next(arm for arm in self.posterior.arms if arm.arm == self.posterior.leader)

    @property
    def concluded(self) -> bool:
        return self.conclusion.status == "concluded"

    def verdict(self) -> str:
        """Return the verdict as one line; it names a winner when there is one."""
        winner = "" if self.conclusion.winner is None else f" (winner {self.conclusion.winner})"
        return f"Verdict{winner}: {self.conclusion.sentence}"


def definition(items: Sequence[Item], options: Options) -> dict[str, Any]:
    """Return the fields of the experiment: Thompson sampling, concluded by the stopping rule itself."""
    return {
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


async def create(client: AsyncClient, items: Sequence[Item], options: Options) -> str:
    """Create the experiment and return its id; earlier runs keep theirs, so this one gets the next number."""
    number, experiment_id = 1, NAME
    while True:
        try:
            await client.experiments.create(experiment_id, **definition(items, options))
        except ConflictError:
            number += 1
            experiment_id = f"{NAME}-{number}"
        else:
            return experiment_id


async def read(client: AsyncClient, experiment_id: str) -> ExperimentState:
    """Read how the experiment stands."""
    return ExperimentState(await client.posterior(experiment_id), await client.conclusion(experiment_id))
