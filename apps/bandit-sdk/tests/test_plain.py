"""What callers have at hand is sent as what it means; what JSON does not hold is refused by its field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from bandit_sdk import Selection
from bandit_sdk.errors import InvalidError
from bandit_sdk.learning.context import state_of
from bandit_sdk.plain import as_text, encoded
from bandit_sdk.requests import Call, reward, select

SOME = UUID("7f9ecf92-1b4c-4b7e-8d7c-5c6d1f6a2b3c")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (SOME, str(SOME)),
        (date(2026, 11, 28), "2026-11-28"),
        (datetime(2026, 11, 28, 12, tzinfo=UTC), "2026-11-28T12:00:00+00:00"),
        (Decimal("0.25"), 0.25),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),  # noqa: FBT003 (a value of a context)
        (np.array([1, 2]), [1, 2]),
        (np.array([[0.5], [1.5]]), [[0.5], [1.5]]),
        ((1, "a"), [1, "a"]),
    ],
)
def test_a_value_is_written_as_what_it_means(value: object, written: object) -> None:
    assert json.loads(encoded({"context": {"x": value}})) == {"context": {"x": written}}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"context": {"age": float("nan")}}, "context.age must be a finite number, not nan"),
        ({"context": np.array([1.0, np.inf])}, "context[1] must be a finite number, not inf"),
        ({"context": {"age": np.float64("nan")}}, "context.age must be a finite number, not nan"),
        ({"context": {"age": {1, 2}}}, "context.age cannot be a set"),
        ({"context": {"age": b"x"}}, "context.age cannot be a bytes"),
        ({"context": {(1, 2): 1}}, "context must have text as its keys"),
    ],
)
def test_what_json_does_not_hold_is_refused_by_its_field(body: Mapping[str, object], said: str) -> None:
    with pytest.raises(InvalidError) as refused:
        encoded(body)
    assert str(refused.value).startswith(said)


def test_what_holds_itself_is_refused() -> None:
    body: dict[str, object] = {}
    body["context"] = body
    with pytest.raises(InvalidError, match="nested too deeply"):
        encoded(body)


@pytest.mark.parametrize(
    ("given", "text"),
    [("u", "u"), (17, "17"), (np.int32(17), "17"), (SOME, str(SOME)), (date(2026, 11, 28), "2026-11-28")],
)
def test_an_id_becomes_text(given: object, text: str) -> None:
    assert as_text(given) == text


@pytest.mark.parametrize("given", [True, 17.0, None])
def test_what_is_no_id_is_left_to_the_service(given: object) -> None:
    assert as_text(given) is given


def test_every_id_of_a_request_becomes_text() -> None:
    asked = select("x", {"unit_id": 17, "decision_id": SOME}, lambda: "new")
    assert asked.body == {"experiment_id": "x", "unit_id": "17", "decision_id": str(SOME)}
    told = reward(SOME, {"reward": 1.0}, lambda: "new")
    assert isinstance(told, Call)
    assert told.body == {"decision_id": str(SOME), "reward": 1.0}
    direct = reward(None, {"arm": "a", "reward_id": 7, "reward": 1.0}, lambda: "new")
    assert isinstance(direct, Call)
    assert direct.body == {"reward_id": "7", "arm": "a", "reward": 1.0}
    own = reward(Selection(experiment_id="x", arm="a", decision_id="d"), {"reward": 1.0}, lambda: "new")
    assert isinstance(own, Call)
    assert own.body == {"decision_id": "d", "experiment_id": "x", "reward": 1.0}


def test_a_learner_s_context_means_the_same_in_numpy() -> None:
    assert state_of(["n", "d"], {"n": np.int64(3), "d": SOME}) == state_of(["n", "d"], {"n": 3.0, "d": str(SOME)})  # type: ignore[dict-item]
