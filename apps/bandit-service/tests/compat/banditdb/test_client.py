"""BanditDB's public client, as it comes from PyPI, against a service that runs: every method, and what it documents."""

from __future__ import annotations

import inspect
import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest
from banditdb import (
    APIError,
    Client,
    NeuralLinUCBConfig,
    NeuralTSConfig,
    PacingConfig,
    ProgressiveConfig,
    ResourceConstraint,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from compat.conftest import Served

ARMS = ["decrease_temperature", "decrease_light", "decrease_noise"]
CONTEXT = [1.0, 0.35, 0.50, 0.60, 0.96]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def db(served: Served) -> Client:
    return served.client()


@pytest.fixture
def campaign(db: Client) -> str:
    return created(db)


def created(db: Client, arms: list[str] = ARMS, feature_dim: int | None = 5, **fields: Any) -> str:
    """Create a campaign under a name of its own."""
    name = f"campaign_{next(_numbers)}"
    assert db.create_campaign(name, arms, feature_dim, **fields)
    return name


def until(holds: Callable[[], bool], seconds: float = 8.0) -> None:
    """Wait for what the service does by itself: a campaign learns within a second of a reward."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def learnt(db: Client, campaign: str, rewards: int) -> dict[str, Any]:
    """Return the report of a campaign once it has learnt from so many rewards."""
    until(lambda: db.report(campaign)["total_rewards"] >= rewards)
    report: dict[str, Any] = db.report(campaign)
    assert report["total_rewards"] == rewards
    return report


def refused(call: Callable[[], object], *words: str) -> None:
    """Return if the call is refused with a reason that has those words."""
    with pytest.raises(APIError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_this_is_all_the_client_can_do() -> None:
    """A method that a newer client adds has to be tested here first."""
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert methods == {
        "add_arm",
        "archive_campaign",
        "batch_predict",
        "campaign_info",
        "checkpoint",
        "create_campaign",
        "delete_campaign",
        "diagnostics",
        "export",
        "health",
        "health_detail",
        "interact",
        "list_campaigns",
        "pacing",
        "predict",
        "report",
        "restore_campaign",
        "reward",
        "server_info",
        "set_arm_status",
    }


def test_health_is_public_and_says_what_the_server_is(served: Served) -> None:
    anyone = Client(f"{served.url}/banditdb")
    assert anyone.health()
    info = anyone.server_info()
    assert (info["status"], info["features"]) == ("ok", [])
    assert info["version"].startswith("2.2.0+")


def test_a_campaign_learns_from_what_is_rewarded(db: Client) -> None:
    name = created(db, ["good", "bad"], 1)
    for _ in range(40):
        arm, interaction_id = db.predict(name, [1.0])
        assert db.reward(interaction_id, 1.0 if arm == "good" else 0.0)
    learnt(db, name, 40)
    info = db.campaign_info(name)
    assert info["total_predictions"] == info["total_rewards"] == 40
    assert sum(arm["prediction_count"] for arm in info["arms"].values()) == 40
    assert {len(arm["theta"]) for arm in info["arms"].values()} <= {1}


def test_the_list_has_a_line_for_each_campaign(db: Client) -> None:
    name = created(db, alpha=0.3, algorithm="thompson_sampling", metadata={"team": "sleep"})
    [line] = [each for each in db.list_campaigns() if each["campaign_id"] == name]
    assert line == {
        "campaign_id": name,
        "alpha": 0.3,
        "algorithm": "thompson_sampling",
        "arm_count": 3,
        "archived": False,
        "metadata": {"team": "sleep"},
    }


def test_named_features_come_back_from_the_metadata(served: Served) -> None:
    name = created(served.client(), feature_dim=None, features=["age", "is_mobile"], metadata={"team": "sleep"})
    another = served.client("writer")
    arm, _ = another.predict(name, {"is_mobile": 1.0, "age": 0.34})
    assert arm in ARMS
    info = another.campaign_info(name)
    assert info["feature_dim"] == 3
    assert info["metadata"] == {
        "team": "sleep",
        "features": ["age", "is_mobile"],
        "context": {"bias": True, "normalize": True},
    }
    with pytest.raises(ValueError, match="missing"):
        another.predict(name, {"age": 0.34})


def test_only_eligible_arms_are_chosen(db: Client, campaign: str) -> None:
    for _ in range(5):
        arm, _ = db.predict(campaign, CONTEXT, eligible_arms=ARMS[:2], exclude_arms=[ARMS[0]])
        assert arm == ARMS[1]
    refused(lambda: db.predict(campaign, CONTEXT, exclude_arms=ARMS), "422", "no active arm is left")
    refused(lambda: db.predict(campaign, CONTEXT, eligible_arms=["sleep_more"]), "there is no arm 'sleep_more'")


def test_a_batch_answers_each_item_in_its_place(db: Client, campaign: str) -> None:
    answers = db.batch_predict(
        [
            {"campaign_id": campaign, "context": CONTEXT},
            {"campaign_id": "unknown", "context": CONTEXT},
            {"campaign_id": campaign, "context": [1.0]},
            {"campaign_id": campaign, "context": CONTEXT, "eligible_arms": ARMS[2:]},
        ]
    )
    assert [sorted(answer) for answer in answers] == [
        ["arm_id", "campaign_id", "interaction_id"],
        ["campaign_id", "error"],
        ["campaign_id", "error"],
        ["arm_id", "campaign_id", "interaction_id"],
    ]
    assert answers[3]["arm_id"] == ARMS[2]
    assert db.reward(answers[3]["interaction_id"], 0.5)
    assert db.batch_predict([]) == []
    refused(lambda: db.batch_predict([{"campaign_id": campaign, "context": CONTEXT}] * 101), "422", "predictions")


def test_a_reward_that_is_sent_again_is_no_error_and_counts_once(db: Client, campaign: str) -> None:
    """The client itself repeats what it got no answer to."""
    _, interaction_id = db.predict(campaign, CONTEXT)
    assert db.reward(interaction_id, 0.25)
    assert db.reward(interaction_id, 0.25)
    _, another = db.predict(campaign, CONTEXT)
    assert db.reward(another, 0.75)
    assert learnt(db, campaign, 2)["overall_reward_rate"] == pytest.approx(0.5)


def test_what_was_decided_elsewhere_is_learnt_from(db: Client) -> None:
    name = created(db, feature_dim=None, features=["age"])
    names = {db.interact(name, ARMS[0], {"age": 0.5}, 1.0) for _ in range(3)}
    assert len(names) == 3
    learnt(db, name, 3)
    assert db.campaign_info(name)["arms"][ARMS[0]]["reward_count"] == 3
    refused(lambda: db.interact(name, "sleep_more", [0.5, 0.5], 1.0), "no arm 'sleep_more'")


def test_an_arm_is_added_while_the_campaign_runs(db: Client, campaign: str) -> None:
    assert db.add_arm(campaign, "warm_bath")
    arm, _ = db.predict(campaign, CONTEXT, eligible_arms=["warm_bath"])
    assert arm == "warm_bath"
    refused(lambda: db.add_arm(campaign, "warm_bath"), "409", "already")


@pytest.mark.parametrize("status", ["paused", "retired"])
@pytest.mark.parametrize("arm", [ARMS[0], ARMS[2]])
def test_an_arm_leaves_and_comes_back(db: Client, campaign: str, status: Any, arm: str) -> None:
    assert db.set_arm_status(campaign, arm, status)
    assert db.campaign_info(campaign)["arms"][arm]["status"] == status
    assert arm not in {db.predict(campaign, CONTEXT)[0] for _ in range(10)}
    refused(lambda: db.predict(campaign, CONTEXT, eligible_arms=[arm]), "no active arm is left")
    assert db.set_arm_status(campaign, arm, "active")
    assert db.predict(campaign, CONTEXT, eligible_arms=[arm])[0] == arm


def test_a_paused_arm_still_learns(db: Client, campaign: str) -> None:
    arm, interaction_id = db.predict(campaign, CONTEXT)
    db.set_arm_status(campaign, arm, "paused")
    assert db.reward(interaction_id, 1.0)
    until(lambda: db.diagnostics(campaign)["arm_stats"][arm]["rewards"] == 1)


def test_an_archived_campaign_rests_until_it_is_restored(db: Client, campaign: str) -> None:
    _, interaction_id = db.predict(campaign, CONTEXT)
    assert db.archive_campaign(campaign)
    assert db.campaign_info(campaign)["archived"]
    refused(lambda: db.predict(campaign, CONTEXT), "archived")
    refused(lambda: db.reward(interaction_id, 1.0), "archived")
    refused(lambda: db.interact(campaign, ARMS[0], CONTEXT, 1.0), "archived")
    refused(lambda: db.add_arm(campaign, "warm_bath"), "archived")
    assert db.restore_campaign(campaign)
    assert db.reward(interaction_id, 1.0)
    learnt(db, campaign, 1)


def test_a_deleted_campaign_is_gone_and_its_name_is_free(db: Client, campaign: str) -> None:
    _, interaction_id = db.predict(campaign, CONTEXT)
    for _ in range(3):
        assert db.delete_campaign(campaign)
        refused(lambda: db.campaign_info(campaign), "404")
        refused(lambda: db.predict(campaign, CONTEXT), "404")
        refused(lambda: db.reward(interaction_id, 1.0), "404")
        assert not db.delete_campaign(campaign)
        assert campaign not in {each["campaign_id"] for each in db.list_campaigns()}
        assert db.create_campaign(campaign, ["a", "b"], 1)
        assert db.report(campaign)["total_predictions"] == 0
        assert db.predict(campaign, [0.5])[0] in ("a", "b")


def test_the_report_says_who_leads_and_whether_that_is_settled(db: Client) -> None:
    name = created(db, ["good", "bad"], 1)
    before = db.report(name)
    assert (before["leading_arm"], before["converged"], before["overall_reward_rate"]) == (None, None, 0.0)
    for arm, reward in (("good", 1.0), ("bad", 0.0)):
        for _ in range(30):
            db.interact(name, arm, [1.0], reward)
    until(lambda: db.report(name)["converged"] is True)
    after = learnt(db, name, 60)
    assert after["leading_arm"] == "good"
    assert after["overall_reward_rate"] == pytest.approx(0.5)
    good = after["arms"]["good"]
    assert good["mean_reward"] == good["reward_rate"] == 1.0
    assert 0.8 < good["ci_lower"] == good["lower_ci"] < good["ci_upper"] <= 1.0


def test_diagnostics_and_health_tell_whether_a_campaign_explores(db: Client, campaign: str) -> None:
    for _ in range(6):
        db.predict(campaign, CONTEXT)
    found = db.diagnostics(campaign)
    assert set(found["arm_stats"]) == set(ARMS)
    assert found["arm_stats"][ARMS[0]]["theta_norm"] == 0.0
    assert found["arm_stats"][ARMS[0]]["a_inv_diag_max"] == 1.0
    assert 0.0 <= found["selection_entropy"] <= 1.0
    assert found["entropy_status"] in ("ok", "warning", "critical")
    detail = db.health_detail()
    assert detail["status"] in ("ok", "degraded")
    assert detail["campaigns"][campaign].keys() == {"entropy", "status"}


def test_there_are_no_budgets(db: Client, campaign: str) -> None:
    assert db.pacing(campaign) is None
    refused(lambda: db.pacing("unknown"), "404")
    budget = PacingConfig(resources=[ResourceConstraint(name="coupons", budget=5.0, horizon=10, arm_costs={"a": 1.0})])
    refused(lambda: db.create_campaign("budgeted", ["a", "b"], 1, pacing=budget), "422", "pacing")
    refused(lambda: db.add_arm(campaign, "warm_bath", costs={"coupons": 1.0}), "422", "costs")


@pytest.mark.parametrize(
    "algorithm",
    [
        NeuralLinUCBConfig(context_dim=1),
        NeuralTSConfig(context_dim=1),
        ProgressiveConfig(challenger=NeuralLinUCBConfig(context_dim=1)),
        "epsilon_greedy",
    ],
    ids=lambda each: getattr(each, "_API_KEY", type(each).__name__),
)
def test_other_algorithms_are_refused_by_name(db: Client, algorithm: Any) -> None:
    refused(lambda: db.create_campaign("neural", ["a", "b"], 1, algorithm=algorithm), "422", "algorithm", "linucb")


def test_other_beginnings_of_an_arm_are_refused(db: Client, campaign: str) -> None:
    refused(lambda: db.add_arm(campaign, "warm_bath", warm_start={"from": "population"}), "422", "warm_start")
    refused(lambda: db.add_arm(campaign, "warm_bath", group="baths"), "422", "group")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"campaign_id": "two words"}, "campaign_id"),
        ({"arms": ["a", "a"]}, "arms"),
        ({"arms": ["only"]}, "arms"),
        ({"feature_dim": 0}, "context.dimension"),
        ({"feature_dim": 129}, "context.dimension"),
        ({"alpha": -1.0}, "alpha"),
        ({"decay_half_life_hours": 0.0}, "half_life"),
        ({"metadata": {"note": "x" * 70_000}}, "metadata"),
    ],
)
def test_a_wrong_campaign_is_refused_with_the_field_named(db: Client, fields: dict[str, Any], named: str) -> None:
    whole = {"campaign_id": "wrong", "arms": ["a", "b"], "feature_dim": 1} | fields
    refused(lambda: db.create_campaign(**whole), "422", named)


def test_a_campaign_exists_once(db: Client, campaign: str) -> None:
    refused(lambda: db.create_campaign(campaign, ARMS, 5), "409", "already")


def test_what_a_request_gets_wrong_is_said(db: Client, campaign: str) -> None:
    refused(lambda: db.predict(campaign, [1.0]), "422", "context must have 5 numbers, got 1")
    refused(lambda: db.predict("unknown", [1.0]), "404", "no campaign 'unknown'")
    refused(lambda: db.reward("never-issued", 1.0), "404", "interaction_id")
    refused(lambda: db.set_arm_status(campaign, "warm_bath", "paused"), "404", "no arm 'warm_bath'")
    refused(lambda: served_without_a_key(db).list_campaigns(), "401", "API key")


def served_without_a_key(db: Client) -> Client:
    return Client(db.url)


def test_what_was_learnt_fades_with_the_half_life(db: Client) -> None:
    name = created(db, decay_half_life_hours=168.0)
    assert db.campaign_info(name)["decay_half_life_hours"] == 168.0
