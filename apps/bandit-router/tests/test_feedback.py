"""Rewards reach a real bandit-service: once, and for the arm that served."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from bandit_router.client import ServiceClient
from bandit_router.feedback import Fallback, Feedback, FeedbackError, Report, Rewards
from bandit_router.messages import Answer, Body
from bandit_router.metrics import rewarded

if TYPE_CHECKING:
    from conftest import Service

ARMS = ("worse", "better")


def decide(client: ServiceClient, experiment: str, puid: str) -> int:
    answer = client.post("/select", {"experiment_id": experiment, "decision_id": puid}, repeatable=True)
    return int(answer.body["arm_index"])


def test_a_known_prediction_is_rewarded_once(service: Service, client: ServiceClient) -> None:
    experiment = service.create()
    rewards = Rewards(experiment, client)
    branch = decide(client, experiment, "p-1")
    assert rewards.report(Feedback("p-1", 1.0, branch)) == Report("applied", ARMS[branch], Fallback.NONE)
    assert rewards.report(Feedback("p-1", 1.0, branch)) == Report("duplicate", ARMS[branch], Fallback.NONE)
    assert rewards.report(Feedback("p-1", 1.0, None)).status == "duplicate"
    assert service.rewards(experiment)[ARMS[branch]] == (1.0, 0.0)


def test_an_unknown_prediction_rewards_the_arm_once(service: Service, client: ServiceClient) -> None:
    experiment = service.create()
    rewards = Rewards(experiment, client)
    assert rewards.report(Feedback("nobody", 0.0, 1)) == Report("applied", "better", Fallback.UNKNOWN_PUID)
    assert rewards.report(Feedback("nobody", 0.0, 1)).status == "duplicate"
    assert service.rewards(experiment) == {"worse": (0.0, 0.0), "better": (0.0, 1.0)}


def test_the_arm_that_served_is_rewarded_when_another_was_decided(service: Service, client: ServiceClient) -> None:
    experiment = service.create()
    served = 1 - decide(client, experiment, "late")
    report = Rewards(experiment, client).report(Feedback("late", 1.0, served))
    assert report == Report("applied", ARMS[served], Fallback.OTHER_ARM)
    assert service.rewards(experiment)[ARMS[served]] == (1.0, 0.0)
    assert service.rewards(experiment)[ARMS[1 - served]] == (0.0, 0.0)


def test_without_a_prediction_id_every_feedback_counts(service: Service, client: ServiceClient) -> None:
    experiment = service.create()
    rewards = Rewards(experiment, client)
    reports = [rewards.report(Feedback(None, 0.5, 0)) for _ in range(2)]
    assert reports == [Report("applied", "worse", Fallback.NO_PUID)] * 2
    assert service.rewards(experiment)["worse"] == (1.0, 1.0)


def test_a_reward_after_the_window_is_late_and_no_error(service: Service, client: ServiceClient) -> None:
    experiment = service.create(reward_window=1)
    branch = decide(client, experiment, "slow")
    time.sleep(1.1)
    assert Rewards(experiment, client).report(Feedback("slow", 1.0, branch)) == Report("late", None, Fallback.NONE)
    assert service.rewards(experiment)[ARMS[branch]] == (0.0, 0.0)


class Queueing:
    """A service whose database is away."""

    def get(self, path: str) -> Answer:  # noqa: ARG002 (it has one answer)
        return Answer(200, {"arms": [{"id": arm, "index": index} for index, arm in enumerate(ARMS)]})

    def post(self, path: str, body: Body, *, repeatable: bool) -> Answer:  # noqa: ARG002 (it has one answer)
        return Answer(202, {"status": "queued"})


def test_a_queued_reward_is_a_success_that_is_not_summed_up() -> None:
    report = Rewards("homepage", Queueing()).report(Feedback("p-1", 1.0, 0))
    assert report == Report("queued", None, Fallback.NONE)
    assert [each["key"] for each in rewarded(report, 1.0)] == ["bandit_router_rewards"]


def test_an_arm_that_joined_later_is_looked_up(service: Service, client: ServiceClient) -> None:
    experiment = service.create()
    rewards = Rewards(experiment, client)
    rewards.load()
    service.ask("POST", f"/experiments/{experiment}/arms", {"id": "new", "reason": "a test"})
    assert rewards.report(Feedback(None, 1.0, 2)).arm == "new"


@pytest.mark.parametrize(
    ("feedback", "message", "may_pass"),
    [
        (Feedback("nobody", 1.0, None), "names no child", False),
        (Feedback(None, 1.0, 7), "no arm for child 7", False),
        (Feedback(None, 1.5, 0), "reward", False),
    ],
)
def test_what_cannot_become_a_reward_says_why(
    service: Service, client: ServiceClient, feedback: Feedback, message: str, *, may_pass: bool
) -> None:
    with pytest.raises(FeedbackError, match=message) as raised:
        Rewards(service.create(), client).report(feedback)
    assert raised.value.may_pass is may_pass


def test_an_experiment_that_does_not_exist_is_named(client: ServiceClient) -> None:
    with pytest.raises(FeedbackError, match="nowhere"):
        Rewards("nowhere", client).load()
