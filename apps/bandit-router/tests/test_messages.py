import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.rules.decisions import is_signed
from bandit_core.rules.names import OWN_ID
from bandit_router.messages import Default, branch_of, context_of, decision_id, select_options, unit_of
from bandit_sdk import Selection


@given(st.text(min_size=1, max_size=200) | st.text(max_size=9).map("d1.".__add__))
def test_every_prediction_id_becomes_one_that_the_service_takes(puid: str) -> None:
    found = decision_id(puid)
    assert re.search(OWN_ID.python_pattern, found)
    assert not is_signed(found)
    assert found == decision_id(puid)


def test_a_prediction_id_that_the_service_takes_stays_itself() -> None:
    puid = "7f9ecf92-1b4c-4b7e-8d7c-5c6d1f6a2b3c"
    assert decision_id(puid) == puid
    assert decision_id("7f9e/cf92") != decision_id("7f9e cf92")


def test_a_request_carries_only_what_is_known() -> None:
    assert select_options(puid=None) == {}
    assert select_options(puid="p", unit_id="visitor", context={"age": 3}) == {
        "decision_id": "p",
        "unit_id": "visitor",
        "context": {"age": 3},
    }


@pytest.mark.parametrize(
    ("tag", "unit"),
    [("17", "17"), (17, "17"), (17.0, "17"), (-3.0, "-3"), ("x" * 256, "x" * 256), (None, None), ("", None)],
)
def test_a_tag_names_a_unit_as_text_or_whole_number(tag: object, unit: str | None) -> None:
    assert unit_of(tag) == unit


@pytest.mark.parametrize("tag", [True, 1.5, float("nan"), float("inf"), 1e300, ["a"], {"a": 1}, "x" * 257])
def test_a_tag_that_names_no_unit_is_told(tag: object) -> None:
    with pytest.raises(ValueError, match="must be text of at most 256 characters or a whole number"):
        unit_of(tag)


@pytest.mark.parametrize(
    ("arm_index", "branch"),
    [(0, 0), (1, 1), (2, Default.OUT_OF_RANGE), (-1, Default.OUT_OF_RANGE), (None, Default.OUT_OF_RANGE)],
)
def test_a_branch_is_a_child_or_a_reason_for_the_default(arm_index: int | None, branch: object) -> None:
    found = branch_of(Selection(experiment_id="homepage", arm="a", arm_index=arm_index), branches=2)
    assert found == branch
    assert type(found) is type(branch)


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
