"""What a learner chooses between, and what it is told afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from bandit_core.checks import check_whole
from bandit_core.rewards import Outcome
from bandit_sdk.learning.context import Context


@dataclass(frozen=True, slots=True)
class Arm:
    """Something to choose, e.g. a prompt; `token_cost` >= 0 is what choosing it takes from a token budget."""

    id: str
    token_cost: int = 0

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("an arm needs an id")
        check_whole(f"token_cost of arm {self.id!r}", self.token_cost, low=0)


@dataclass(frozen=True, slots=True)
class ArmOutcome:
    """What came of an arm.

    `reward` in [0, 1] is taken as it is; without it the learner's reward model judges the `outcome`. `context` is the
    one the arm was selected with. With an `id`, e.g. that of the request, an outcome counts once however often it is
    reported.
    """

    arm_id: str
    outcome: Outcome | None = None
    reward: float | None = None
    context: Context | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if self.outcome is None and self.reward is None:
            raise ValueError(f"the outcome of arm {self.arm_id!r} needs an outcome or a reward")
