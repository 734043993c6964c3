import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.messages import (
    Answer,
    Default,
    arm_reward,
    arms_of,
    branch_of,
    context_of,
    decision_id,
    decision_reward,
    select_request,
)
from bandit_service.api.decisions.schemas import OWN_DECISION_ID
from bandit_service.domain.decision_id import is_signed


@given(st.text(min_size=1, max_size=200) | st.text(max_size=9).map("d1.".__add__))
def test_every_prediction_id_becomes_one_that_the_service_takes(puid: str) -> None:
    found = decision_id(puid)
    assert re.search(OWN_DECISION_ID, found)
    assert not is_signed(found)
    assert found == decision_id(puid)


def test_a_prediction_id_that_the_service_takes_stays_itself() -> None:
    puid = "7f9ecf92-1b4c-4b7e-8d7c-5c6d1f6a2b3c"
    assert decision_id(puid) == puid
    assert decision_id("7f9e/cf92") != decision_id("7f9e cf92")


def test_a_request_carries_only_what_is_known() -> None:
    assert select_request("homepage", puid=None) == {"experiment_id": "homepage"}
    assert select_request("homepage", puid="p", unit_id="visitor", context={"age": 3}) == {
        "experiment_id": "homepage",
        "decision_id": "p",
        "unit_id": "visitor",
        "context": {"age": 3},
    }


@pytest.mark.parametrize("unit_id", [None, "", 17, "x" * 257])
def test_a_unit_id_that_the_service_would_refuse_is_left_out(unit_id: object) -> None:
    assert "unit_id" not in select_request("homepage", puid="p", unit_id=unit_id)


@pytest.mark.parametrize(
    ("answer", "branch"),
    [
        (Answer(200, {"arm_index": 0}), 0),
        (Answer(200, {"arm_index": 1}), 1),
        (Answer(200, {"arm_index": 2}), Default.OUT_OF_RANGE),
        (Answer(200, {"arm_index": -1}), Default.OUT_OF_RANGE),
        (Answer(200, {"arm_index": True}), Default.OUT_OF_RANGE),
        (Answer(200, {"arm_index": 1.0}), Default.OUT_OF_RANGE),
        (Answer(200, {}), Default.OUT_OF_RANGE),
        (Answer(404, {}), Default.REFUSED),
        (Answer(422, {"arm_index": 1}), Default.REFUSED),
        (Answer(429, {}), Default.UNAVAILABLE),
        (Answer(503, {}), Default.UNAVAILABLE),
    ],
)
def test_a_branch_is_a_child_or_a_reason_for_the_default(answer: Answer, branch: object) -> None:
    found = branch_of(answer, branches=2)
    assert found == branch
    assert type(found) is type(branch)


def test_rewards_are_counted_once_by_the_prediction_id() -> None:
    assert decision_reward("homepage", puid="p", reward=0.0, arm="b") == {
        "experiment_id": "homepage",
        "decision_id": "p",
        "reward": 0.0,
        "arm": "b",
    }
    assert "arm" not in decision_reward("homepage", puid="p", reward=1.0, arm=None)
    assert arm_reward("homepage", puid="p", reward=1.0, arm="b")["reward_id"] == "p"
    assert "reward_id" not in arm_reward("homepage", puid=None, reward=1.0, arm="b")


def test_arms_are_known_by_their_index() -> None:
    arms = [{"id": "b", "index": 1}, {"id": "a", "index": 0}]
    assert arms_of(Answer(200, {"arms": arms})) == ("a", "b")


@pytest.mark.parametrize("body", [{}, {"arms": None}, {"arms": [{"id": "a"}]}, {"arms": ["a"]}])
def test_another_description_of_an_experiment_is_an_error(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="does not know"):
        arms_of(Answer(200, body))


@pytest.mark.parametrize(
    ("features", "names", "context"),
    [
        ([[31.0, 1.0]], ["age", "mobile"], {"age": 31.0, "mobile": 1.0}),
        ([31.0, 1.0], ["age", "mobile"], {"age": 31.0, "mobile": 1.0}),
        ({"age": 31, "country": "PT"}, [], {"age": 31, "country": "PT"}),
        ([[31.0, 1.0]], [], None),
        ([[31.0, 1.0]], ["age"], None),
        ([[31.0], [24.0]], ["age", "mobile"], None),
        ([], [], None),
        ("text", [], None),
        (b"bytes", ["age"], None),
    ],
)
def test_a_context_is_one_request_of_named_features(
    features: object, names: list[str], context: dict[str, object] | None
) -> None:
    assert context_of(features, names) == context
