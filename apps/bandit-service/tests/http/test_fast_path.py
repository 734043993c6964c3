"""The fast endpoints' common part: who may call, and what becomes of bodies that are not what they should be."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bandit_core.rules.decoding import LONGEST_PATH, decode_item
from bandit_core.rules.problems import Invalid
from bandit_core.rules.requests import BatchRequest, RewardRequest, SelectRequest

if TYPE_CHECKING:
    from conftest import Api, NewApiKey, StartApi

PATHS = ["/select", "/select/batch", "/activate", "/reward", "/reward/batch"]
NESTED = 100_000
UNREADABLE = {
    "nothing": b"",
    "spaces": b"   ",
    "half an object": b'{"experiment_id": "homepage"',
    "a trailing comma": b'{"experiment_id": "homepage",}',
    "something behind": b'{"experiment_id": "homepage"} {}',
    "single quotes": b"{'experiment_id': 'homepage'}",
    "a byte order mark": b'\xef\xbb\xbf{"experiment_id": "homepage"}',
    "no UTF-8": b'{"experiment_id": "home\xffpage"}',
    "half a surrogate pair": b'{"experiment_id": "\\ud800"}',
    "a form": b"experiment_id=homepage",
    "deep lists": b"[" * NESTED + b"]" * NESTED,
    "deep objects": b'{"a":' * NESTED + b"1" + b"}" * NESTED,
    "a deep item": b'{"items": [' + b"[" * NESTED + b"]" * NESTED + b"]}",
    "a deep field": b'{"unknown": ' + b"[" * NESTED + b"]" * NESTED + b"}",
    "not a number": b'{"reward": NaN}',
    "too large a number": b'{"reward": 1e999}',
    "a number of many digits": b'{"reward": ' + b"9" * 5_000 + b"}",
    "a list": b"[]",
    "nothing at all": b"null",
    "an empty object": b"{}",
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_body_that_cannot_be_read_is_a_problem_of_the_caller(api: Api, path: str, body: bytes) -> None:
    problem = await api.post(path, body, 422)
    assert problem["errors"]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_decoding_raises_nothing_but_a_problem_that_names_a_field(raw: bytes) -> None:
    for kind in (SelectRequest, RewardRequest, BatchRequest):
        refused = None
        try:
            decode_item(kind, raw)
        except Invalid as problem:
            refused = problem
        assert refused is None or all(error.field and error.message for error in refused.errors)


json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=20),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=20), values, max_size=4),
    max_leaves=12,
)


@given(json)
def test_whatever_json_an_item_is_it_is_decoded_or_refused_alone(value: Any) -> None:
    good = {"experiment_id": "homepage"}
    batch = decode_item(BatchRequest, msgspec.json.encode({"items": [value, good]}))
    assert decode_item(SelectRequest, batch.items[1]).experiment_id == "homepage"
    with suppress(Invalid):
        decode_item(SelectRequest, batch.items[0])


def test_a_long_field_name_is_not_sent_back_in_full() -> None:
    with pytest.raises(Invalid) as refused:
        decode_item(SelectRequest, msgspec.json.encode({"x" * 100_000: 1}))
    assert len(refused.value.detail) < 3 * LONGEST_PATH


async def test_of_a_repeated_field_the_last_one_counts(api: Api) -> None:
    """As most JSON readers have it; RFC 8259 leaves it open."""
    live = await api.create()
    body = f'{{"experiment_id": "nowhere", "experiment_id": "{live.id}"}}'.encode()
    assert (await api.post("/select", body))["experiment_id"] == live.id


async def test_a_body_is_json_whatever_its_content_type_says(api: Api) -> None:
    live = await api.create()
    content = f'{{"experiment_id": "{live.id}"}}'.encode()
    answer = await api.http.post("/select", content=content, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 200


async def test_a_body_larger_than_the_limit_is_refused_before_it_is_read(api: Api) -> None:
    await api.post("/reward/batch", b" " * 1_100_000, 413)


async def test_an_answer_carries_the_callers_request_id_or_one_of_its_own(api: Api) -> None:
    given_id = await api.http.post("/select", json={}, headers={"X-Request-Id": "mine-1"})
    made = await api.http.post("/select", json={})
    assert given_id.headers["X-Request-Id"] == "mine-1"
    assert made.headers["X-Request-Id"]


def bodies(experiment_id: str) -> dict[str, Any]:
    """Return a request for each path that would be answered with 200."""
    select = {"experiment_id": experiment_id}
    direct = {"experiment_id": experiment_id, "arm": "a", "reward": 1}
    return {
        "/select": select,
        "/select/batch": {"items": [select]},
        "/reward": direct,
        "/reward/batch": {"items": [direct]},
    }


async def test_a_writer_of_the_namespace_may_call_and_others_may_not(
    start_api: StartApi, new_api_key: NewApiKey
) -> None:
    keys = {
        "admin": await new_api_key("admin"),
        "writer": await new_api_key("writer", "shop"),
        "reader": await new_api_key("reader", "shop"),
        "foreign": await new_api_key("writer", "blog"),
    }
    expected = {"admin": 200, "writer": 200, "reader": 403, "foreign": 404}
    async with start_api(auth_required=True) as api:
        api.http.headers["Authorization"] = f"Bearer {keys['admin']}"
        await api.create(experiment_id="shop.homepage")
        for who, key in keys.items():
            api.http.headers["Authorization"] = f"Bearer {key}"
            for path, body in bodies("shop.homepage").items():
                response = await api.http.post(path, json=body)
                in_batch = path.endswith("batch") and response.status_code == 200
                status = response.json()["items"][0]["status"] if in_batch else response.status_code
                assert status == expected[who], (who, path)


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_valid_key_nothing_is_looked_at(start_api: StartApi, path: str) -> None:
    async with start_api(auth_required=True) as api:
        problem = await api.post(path, b"not even JSON", 401)
        assert "X-Api-Key" in problem["detail"]
        api.http.headers["X-Api-Key"] = "bandit_123_wrong"
        await api.post(path, {"experiment_id": "homepage"}, 401)


async def test_a_foreign_namespaces_decision_does_not_exist(start_api: StartApi, new_api_key: NewApiKey) -> None:
    admin, foreign = await new_api_key("admin"), await new_api_key("writer", "blog")
    async with start_api(auth_required=True) as api:
        api.http.headers["X-Api-Key"] = admin
        live = await api.create(experiment_id="shop.homepage")
        signed = await live.select(defer_activation=True)
        await live.select(decision_id="mine", defer_activation=True)
        api.http.headers["X-Api-Key"] = foreign
        for body in ({"decision_id": signed["decision_id"]}, {"decision_id": "mine", "experiment_id": live.id}):
            await api.post("/activate", body, 404)
            await api.post("/reward", body | {"reward": 1}, 404)


@pytest.mark.parametrize("path", ["/select", "/experiments"])
async def test_a_client_that_leaves_before_its_request_is_complete_is_no_failure(api: Api, path: str) -> None:
    app = api.http._transport.app  # type: ignore[attr-defined]
    length = (b"content-length", b"100")
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [length]}
    said: list[Any] = []
    left = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(left)

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    assert said == []


async def test_many_clients_at_once_are_all_answered(api: Api) -> None:
    live = await api.create()
    decisions = await asyncio.gather(*(live.select() for _ in range(300)))
    answers = await asyncio.gather(*(live.reward(decision, 1) for decision in decisions))
    assert all(decision["recorded"] for decision in decisions)
    assert {answer["status"] for answer in answers} == {"applied"}


async def test_a_signing_key_can_be_rotated_without_losing_decisions(
    start_api: StartApi, rotated: Callable[[str], Any]
) -> None:
    first, both, second = rotated("k1"), rotated("k2,k1"), rotated("k2")
    async with start_api(signing_keys=first) as api:
        live = await api.create()
        old = await live.select()
    async with start_api(signing_keys=both) as api:
        live = type(live)(api, live.id)
        new = await live.select()
        await live.reward(old, 1)
    async with start_api(signing_keys=second) as api:
        live = type(live)(api, live.id)
        assert (await live.reward(new, 1))["status"] == "applied"
        await live.reward(old, 1, 404)


@pytest.fixture
def rotated() -> Callable[[str], Any]:
    """Return a function that spells the named signing keys as the setting wants them."""
    keys = {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in ("k1", "k2")}
    return lambda names: SecretStr(",".join(f"{name}:{keys[name]}" for name in names.split(",")))
