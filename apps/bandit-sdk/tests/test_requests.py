from typing import Any

import pytest

from bandit_sdk import Selection, requests
from bandit_sdk.errors import UnexpectedAnswerError
from bandit_sdk.requests import Call
from bandit_sdk.results import RewardResult

DECIDED = Selection(experiment_id="homepage", arm="b", decision_id="one")
DEFAULT = Selection(experiment_id="homepage", arm="a", is_default=True, reason="away")


def new_id() -> str:
    return "new"


def sent(call: Call[Any] | RewardResult) -> dict[str, object]:
    assert isinstance(call, Call)
    assert call.body is not None
    return dict(call.body)


def test_a_selection_gets_its_request_id_before_the_first_attempt() -> None:
    call = requests.select("homepage", {"unit_id": "u", "k": 3}, new_id)
    assert call.body == {"experiment_id": "homepage", "unit_id": "u", "k": 3, "request_id": "new"}
    assert call.repeatable


def test_ids_of_the_callers_own_are_kept() -> None:
    own = requests.select("homepage", {"decision_id": "mine"}, new_id)
    assert own.body == {"experiment_id": "homepage", "decision_id": "mine"}
    assert own.repeatable
    assert sent(requests.select("homepage", {"request_id": "mine"}, new_id))["request_id"] == "mine"


def test_every_selection_of_a_batch_has_a_request_id_of_its_own() -> None:
    ids = iter("ab")
    call = requests.select_batch([{"experiment_id": "x"}, {"experiment_id": "x", "k": 2}], lambda: next(ids))
    assert call.body is not None
    assert [item["request_id"] for item in call.body["items"]] == ["a", "b"]
    assert call.repeatable


def test_a_reward_names_its_decision_and_experiment() -> None:
    call = requests.reward(DECIDED, {"outcome": {"rating": 5}, "position": 1}, new_id)
    assert sent(call) == {"decision_id": "one", "experiment_id": "homepage", "outcome": {"rating": 5}, "position": 1}


def test_a_direct_reward_gets_an_id_before_the_first_attempt() -> None:
    direct = sent(requests.reward(None, {"experiment_id": "x", "arm": "a", "reward": 1.0}, new_id))
    assert direct == {"reward_id": "new", "experiment_id": "x", "arm": "a", "reward": 1.0}
    named = sent(requests.reward(None, {"experiment_id": "x", "arm": "a", "reward": 1.0, "reward_id": "my"}, new_id))
    assert named["reward_id"] == "my"


def test_a_reward_for_a_default_arm_is_not_sent_and_says_so() -> None:
    answer = requests.reward(DEFAULT, {"reward": 1.0}, new_id)
    assert isinstance(answer, RewardResult)
    assert (answer.status, answer.arm) == ("not_sent", "a")
    assert "default arm" in answer.reason


def test_in_a_batch_only_rewards_for_decisions_are_sent_and_answers_keep_their_order() -> None:
    call = requests.reward_batch([{"decision": DEFAULT, "reward": 1}, {"decision": DECIDED, "reward": 1}], new_id)
    assert isinstance(call, Call)
    assert call.body == {"items": [{"decision_id": "one", "experiment_id": "homepage", "reward": 1}]}
    received = b'{"items":[{"status":200,"result":{"status":"applied","experiment_id":"homepage","arm":"b"}}]}'
    assert [item.unwrap().status for item in call.parse(received)] == ["not_sent", "applied"]


def test_a_queued_reward_is_a_result() -> None:
    call = requests.reward(DECIDED, {"reward": 1.0}, new_id)
    assert isinstance(call, Call)
    assert call.parse(b'{"status":"queued"}') == RewardResult(status="queued")
    batch = requests.reward_batch([{"decision": DECIDED, "reward": 1}], new_id)
    assert isinstance(batch, Call)
    [item] = batch.parse(b'{"items":[{"status":202,"result":{"status":"queued"}}]}')
    assert item.unwrap().status == "queued"


def test_statuses_and_fields_of_a_newer_service_are_accepted() -> None:
    call = requests.reward(DECIDED, {"reward": 1.0}, new_id)
    assert isinstance(call, Call)
    assert call.parse(b'{"status":"merged","experiment_id":"homepage","arm":"b","as_of":7}').status == "merged"
    activation = requests.activate(DECIDED, None)
    assert isinstance(activation, Call)
    assert activation.parse(b'{"status":"scheduled","since":7}').status == "scheduled"


def test_an_answer_of_another_length_is_no_answer_to_a_batch() -> None:
    call = requests.select_batch([{"experiment_id": "homepage"}], new_id)
    with pytest.raises(UnexpectedAnswerError, match="1 items were sent, and 0 answered"):
        call.parse(b'{"items":[]}')


def test_a_batch_of_defaults_alone_is_not_sent() -> None:
    answers = requests.reward_batch([{"decision": DEFAULT, "reward": 1}], new_id)
    assert isinstance(answers, list)
    assert answers[0].unwrap().status == "not_sent"


def test_ids_are_quoted_in_paths() -> None:
    assert requests.get_experiment("a/b c").path == "/experiments/a%2Fb%20c"


def test_the_activation_of_a_default_is_not_sent() -> None:
    answer = requests.activate(DEFAULT, None)
    assert not isinstance(answer, Call)
    assert answer.status == "not_sent"


def test_asking_for_what_is_due_can_be_repeated() -> None:
    assert requests.conclude("x", "r", None, by_rule=True).repeatable
    assert not requests.conclude("x", "r", "b", by_rule=False).repeatable
    assert requests.snapshot("x", 1).repeatable
    assert not requests.snapshot("x", 0).repeatable
    assert requests.keep_evaluation("x", "obp", "digest", []).repeatable


def test_a_conclusion_says_only_what_is_asked() -> None:
    assert requests.conclude("x", "r", "b", by_rule=False).body == {"reason": "r", "winner": "b"}
    assert requests.conclude("x", "r", None, by_rule=True).body == {"reason": "r", "by_rule": True}
