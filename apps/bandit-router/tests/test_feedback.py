"""Rewards reach a real bandit-service: once, and for the arm that served."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from bandit_router.feedback import Fallback, Feedback, FeedbackError, Report, RewardReporter
from bandit_router.metrics import rewarded
from bandit_sdk import Client, RefusedError
from bandit_sdk.errors import InvalidError, NotFoundError
from bandit_sdk.testing import InMemoryService

if TYPE_CHECKING:
    from conftest import Service

ARMS = ("worse", "better")


def decide(client: Client, experiment: str, puid: str) -> int:
    branch = client.select(experiment, decision_id=puid).arm_index
    assert branch is not None
    return branch


def test_a_known_prediction_is_rewarded_once(service: Service, client: Client) -> None:
    experiment = service.create()
    rewards = RewardReporter(experiment, client)
    branch = decide(client, experiment, "p-1")
    assert rewards.report(Feedback("p-1", 1.0, branch)) == Report("applied", ARMS[branch], Fallback.NONE, 1.0)
    assert rewards.report(Feedback("p-1", 0.0, branch)) == Report("duplicate", ARMS[branch], Fallback.NONE, 1.0)
    assert rewards.report(Feedback("p-1", 1.0, None)).status == "duplicate"
    assert service.rewards(experiment)[ARMS[branch]] == (1.0, 0.0)


def test_an_unknown_prediction_rewards_the_arm_once(service: Service, client: Client) -> None:
    experiment = service.create()
    rewards = RewardReporter(experiment, client)
    assert rewards.report(Feedback("nobody", 0.0, 1)) == Report("applied", "better", Fallback.UNKNOWN_PUID, 0.0)
    assert rewards.report(Feedback("nobody", 0.0, 1)).status == "duplicate"
    assert service.rewards(experiment) == {"worse": (0.0, 0.0), "better": (0.0, 1.0)}


def test_the_arm_that_served_is_rewarded_when_another_was_decided(service: Service, client: Client) -> None:
    experiment = service.create()
    served = 1 - decide(client, experiment, "late")
    report = RewardReporter(experiment, client).report(Feedback("late", 1.0, served))
    assert report == Report("applied", ARMS[served], Fallback.OTHER_ARM, 1.0)
    assert service.rewards(experiment)[ARMS[served]] == (1.0, 0.0)
    assert service.rewards(experiment)[ARMS[1 - served]] == (0.0, 0.0)


def test_without_a_prediction_id_every_feedback_counts(service: Service, client: Client) -> None:
    experiment = service.create()
    rewards = RewardReporter(experiment, client)
    reports = [rewards.report(Feedback(None, 0.5, 0)) for _ in range(2)]
    assert reports == [Report("applied", "worse", Fallback.NO_PUID, 0.5)] * 2
    assert service.rewards(experiment)["worse"] == (1.0, 1.0)


def test_a_reward_after_the_window_is_late_and_no_error(service: Service, client: Client) -> None:
    experiment = service.create(reward_window=1)
    branch = decide(client, experiment, "slow")
    time.sleep(1.1)
    assert RewardReporter(experiment, client).report(Feedback("slow", 1.0, branch)) == Report(
        "late", None, Fallback.NONE
    )
    assert service.rewards(experiment)[ARMS[branch]] == (0.0, 0.0)


def test_a_queued_reward_is_a_success_that_is_not_summed_up() -> None:
    service = InMemoryService()
    with Client("http://service", transport=service) as client:
        client.experiments.create("homepage", arms=ARMS)
        branch = decide(client, "homepage", "p-1")
        service.queueing = True
        report = RewardReporter("homepage", client).report(Feedback("p-1", 1.0, branch))
    assert report == Report("queued", ARMS[branch], Fallback.NONE, 1.0)
    assert [each["key"] for each in rewarded(report, 1.0)] == ["bandit_router_rewards"]


def test_an_arm_that_joined_later_is_looked_up(service: Service, client: Client) -> None:
    experiment = service.create()
    rewards = RewardReporter(experiment, client)
    rewards.load()
    service.ask("POST", f"/experiments/{experiment}/arms", {"id": "new", "reason": "a test"})
    assert rewards.report(Feedback(None, 1.0, 2)).arm == "new"


@pytest.mark.parametrize(
    ("feedback", "message", "error"),
    [
        (Feedback("nobody", 1.0, None), "names no child", FeedbackError),
        (Feedback(None, 1.0, 7), "no arm for child 7", FeedbackError),
        (Feedback(None, 1.5, 0), "reward", InvalidError),
    ],
)
def test_what_cannot_become_a_reward_says_why(
    service: Service, client: Client, feedback: Feedback, message: str, error: type[FeedbackError | RefusedError]
) -> None:
    with pytest.raises(error, match=message):
        RewardReporter(service.create(), client).report(feedback)


def test_an_experiment_that_does_not_exist_is_named(client: Client) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        RewardReporter("nowhere", client).load()
