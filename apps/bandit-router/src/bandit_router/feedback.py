"""From a Seldon feedback to a reward: for the decision it belongs to, or else for the arm that served."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bandit_router.messages import decision_id
from bandit_sdk import Client, RewardResult
from bandit_sdk.errors import ConflictError, ExpiredError, NotFoundError
from bandit_sdk.requests import RewardOptions


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a feedback says: the prediction's id, the reward in [0, 1], and the child that the response was from."""

    puid: str | None
    reward: float
    branch: int | None


class Fallback(StrEnum):
    """Why a reward went to the arm instead of the decision."""

    NONE = "none"
    NO_PUID = "no_puid"
    UNKNOWN_PUID = "unknown_puid"
    OTHER_ARM = "other_arm"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a reward: the service's word for it (`applied`, `duplicate`, `queued`, `ignored`), or `late`.

    A queued reward is kept by the service, which decides later whether it counts. `reward` is the number that counts,
    of a duplicate that of the first report.
    """

    status: str
    arm: str | None
    fallback: Fallback
    reward: float | None = None


class FeedbackError(Exception):
    """The feedback does not say what it is a reward for."""


class RewardReporter:
    """Reports the rewards of one experiment."""

    def __init__(self, experiment_id: str, client: Client) -> None:
        self._experiment_id = experiment_id
        self._client = client
        self._arms: tuple[str, ...] = ()

    def load(self) -> None:
        """Look up the ids of the arms. Raises BanditError if bandit-service does not tell them."""
        arms = self._client.experiments.get(self._experiment_id).arms
        self._arms = tuple(arm.id for arm in sorted(arms, key=lambda arm: arm.index))

    def report(self, feedback: Feedback) -> Report:
        """Report a reward, once for a prediction's id.

        Raises:
            AwayError: bandit-service gives no answer; the reward may be sent again.
            RefusedError: it refuses the reward.
            FeedbackError: the feedback names neither a known decision nor a child.
        """
        arm = self._arm(feedback.branch)
        options: RewardOptions = {"experiment_id": self._experiment_id, "reward": feedback.reward}
        if arm is not None:
            options["arm"] = arm
        fallback = Fallback.NO_PUID
        try:
            if feedback.puid is not None:
                fallback = Fallback.NONE
                try:
                    # It is refused if another arm was decided.
                    return _report(self._client.reward(decision_id(feedback.puid), **options), fallback)
                except NotFoundError:
                    fallback = Fallback.UNKNOWN_PUID
                except ConflictError:
                    fallback = Fallback.OTHER_ARM
                options["reward_id"] = decision_id(feedback.puid)
            if arm is None:
                raise FeedbackError(
                    "the feedback belongs to no known decision and names no child: send the prediction's own "
                    "Seldon-Puid, or the response's meta.routing (see SELDON_ENABLE_ROUTING_INJECTION)"
                )
            return _report(self._client.reward(**options), fallback)
        except ExpiredError:
            return Report("late", None, fallback)

    def _arm(self, branch: int | None) -> str | None:
        if branch is None:
            return None
        if branch >= len(self._arms):
            self.load()
        if not 0 <= branch < len(self._arms):
            raise FeedbackError(f"the experiment {self._experiment_id!r} has no arm for child {branch}")
        return self._arms[branch]


def _report(result: RewardResult, fallback: Fallback) -> Report:
    return Report(result.status, result.arm, fallback, result.reward)
