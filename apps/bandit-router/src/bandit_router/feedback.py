"""From a Seldon feedback to a reward: for the decision it belongs to, or else for the arm that served."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import quote

from bandit_router.messages import Answer, Body, arm_reward, arms_of, decision_reward

_NOT_FOUND, _CONFLICT, _GONE = 404, 409, 410


class Service(Protocol):
    """What is needed of bandit-service."""

    def get(self, path: str) -> Answer: ...

    def post(self, path: str, body: Body, *, repeatable: bool) -> Answer: ...


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

    A queued reward is kept by the service, which decides later whether it counts.
    """

    status: str
    arm: str | None
    fallback: Fallback


class FeedbackError(Exception):
    """The feedback cannot become a reward; `may_pass` says whether sending it again may help."""

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class Rewards:
    """Reports the rewards of one experiment."""

    def __init__(self, experiment_id: str, service: Service) -> None:
        self._experiment_id = experiment_id
        self._service = service
        self._arms: tuple[str, ...] = ()

    def load(self) -> None:
        """Look up the ids of the arms.

        Raises:
            UnreachableError: bandit-service does not answer. FeedbackError: it answers, but not with an experiment.
        """
        answer = self._service.get(f"/experiments/{quote(self._experiment_id, safe='')}")
        if not answer.is_success:
            raise _refused(answer)
        try:
            self._arms = arms_of(answer)
        except ValueError as error:
            raise FeedbackError(str(error)) from error

    def report(self, feedback: Feedback) -> Report:
        """Report a reward, once for a prediction's id.

        Raises:
            UnreachableError: bandit-service does not answer; the reward may be sent again. FeedbackError: it refuses.
        """
        arm = self._arm(feedback.branch)
        fallback = Fallback.NO_PUID
        if feedback.puid is not None:
            body = decision_reward(self._experiment_id, puid=feedback.puid, reward=feedback.reward, arm=arm)
            answer = self._service.post("/reward", body, repeatable=True)
            if answer.status not in (_NOT_FOUND, _CONFLICT):
                return _report(answer, Fallback.NONE)
            fallback = Fallback.UNKNOWN_PUID if answer.status == _NOT_FOUND else Fallback.OTHER_ARM
        if arm is None:
            raise FeedbackError(
                "the feedback belongs to no known decision and names no child: send the prediction's own Seldon-Puid, "
                "or the response's meta.routing (see SELDON_ENABLE_ROUTING_INJECTION)"
            )
        direct = arm_reward(self._experiment_id, puid=feedback.puid, reward=feedback.reward, arm=arm)
        answer = self._service.post("/reward", direct, repeatable=feedback.puid is not None)
        return _report(answer, fallback)

    def _arm(self, branch: int | None) -> str | None:
        if branch is None:
            return None
        if branch >= len(self._arms):
            self.load()
        if not 0 <= branch < len(self._arms):
            raise FeedbackError(f"the experiment {self._experiment_id!r} has no arm for child {branch}")
        return self._arms[branch]


def _report(answer: Answer, fallback: Fallback) -> Report:
    if answer.status == _GONE:
        return Report("late", None, fallback)
    if not answer.is_success:
        raise _refused(answer)
    body: dict[str, Any] = dict(answer.body)
    return Report(str(body.get("status")), body.get("arm"), fallback)


def _refused(answer: Answer) -> FeedbackError:
    return FeedbackError(f"bandit-service refused: {answer.detail}", may_pass=answer.may_pass)
