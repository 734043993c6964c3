"""How long strings and how large batches may be on the fast endpoints: the limit itself is taken, one more is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bandit_core.rules.decoding import decode_item
from bandit_core.rules.problems import Invalid
from bandit_core.rules.requests import MAX_ITEMS, ActivateRequest, BatchRequest, RewardRequest, SelectRequest

type Kind = type[SelectRequest | RewardRequest | ActivateRequest | BatchRequest]

LENGTHS = [
    (SelectRequest, "experiment_id", 128),
    (SelectRequest, "unit_id", 256),
    (SelectRequest, "decision_id", 128),
    (SelectRequest, "request_id", 128),
    (ActivateRequest, "decision_id", 800),
    (ActivateRequest, "experiment_id", 128),
    (RewardRequest, "decision_id", 800),
    (RewardRequest, "experiment_id", 128),
    (RewardRequest, "arm", 128),
    (RewardRequest, "reward_id", 128),
    (RewardRequest, "outcome", 200),
]
NEEDED: dict[Kind, dict[str, Any]] = {
    SelectRequest: {"experiment_id": "homepage"},
    ActivateRequest: {"decision_id": "d"},
    RewardRequest: {},
    BatchRequest: {},
}


def is_taken(kind: Kind, **fields: Any) -> bool:
    try:
        decode_item(kind, msgspec.json.encode(NEEDED[kind] | fields))
    except Invalid:
        return False
    return True


@pytest.mark.parametrize(("kind", "field", "limit"), LENGTHS)
def test_a_string_may_be_so_long_and_no_longer(kind: Kind, field: str, limit: int) -> None:
    assert is_taken(kind, **{field: "a" * limit})
    assert not is_taken(kind, **{field: "a" * (limit + 1)})


def test_every_string_of_a_request_has_a_limit_that_is_tested() -> None:
    tested = {(kind, field) for kind, field, _ in LENGTHS}
    for kind in (SelectRequest, ActivateRequest, RewardRequest):
        for field in kind.__struct_fields__:
            assert (kind, field) in tested or not is_taken(kind, **{field: "a"}), (kind, field)


@pytest.mark.parametrize("wrong", ["", "a b", "a/b", "a{b}", "a\n", "a\x00", "ä", "a:b", "a%2e", "💥"])
@pytest.mark.parametrize("kind", [SelectRequest, ActivateRequest, RewardRequest])
def test_an_experiment_id_holds_letters_digits_dots_and_dashes_only(kind: Kind, wrong: str) -> None:
    assert is_taken(kind, experiment_id="AZaz09._-")
    assert not is_taken(kind, experiment_id=wrong)


def test_a_batch_holds_so_many_items_and_no_more() -> None:
    assert is_taken(BatchRequest, items=[{}] * MAX_ITEMS)
    assert not is_taken(BatchRequest, items=[{}] * (MAX_ITEMS + 1))
    assert not is_taken(BatchRequest, items=[])


@pytest.mark.parametrize(
    ("outcome", "taken"),
    [
        ({"a" * 200: "b" * 200}, True),
        ({"a" * 201: 1}, False),
        ({"rating": "b" * 201}, False),
        ({str(number): 1 for number in range(11)}, False),
        ({"rating": {"deeper": 1}}, False),
        ([1], False),
    ],
)
def test_a_named_outcome_is_small_and_flat(outcome: Any, taken: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_taken(RewardRequest, outcome=outcome) == taken
