"""The service in memory decides by the rules of the service: the same requests get the same answers and errors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandit_sdk.testing import InMemoryService

if TYPE_CHECKING:
    from conftest import Service

type Step = tuple[str, str, dict[str, Any]]

ARMS: Final = ("a", "b", "c")
MISSING: Final = st.just(None)
# What chance decides, or each side numbers by itself.
BY_CHANCE: Final = {"arm", "arm_index", "propensity", "slate_propensity", "weights_version", "stratum", "decision_id"}
numbers = itertools.count()


def fields(**given_: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=given_)


names = st.lists(st.sampled_from([*ARMS, "z"]), max_size=3)
selects = fields(
    unit_id=st.sampled_from(["u1", "u2", "", 7]),
    k=st.sampled_from([1, 1, 2, 3, 4, 0, "2"]),
    eligible_arms=names,
    exclude_arms=names,
    decision_id=st.sampled_from(["own1", "own2", "d1.x", "a b"]),
    request_id=st.sampled_from(["r1", "r2"]),
    defer_activation=st.booleans(),
    arms=st.just(["a"]),
)
rewards = fields(
    decision_id=st.sampled_from(["<0>", "<1>", "<2>", "own1", "nobody", "d1.forged"]),
    arm=st.sampled_from([*ARMS, "z"]),
    reward_id=st.sampled_from(["w1", "w2"]),
    reward=st.sampled_from([0, 1, 0.5, 1.5, "1"]),
    outcome=st.sampled_from(["success", "failure", "neutral", "weird", True]),
    position=st.sampled_from([0, 0, 1, 5, 99]),
)
activations = fields(decision_id=st.sampled_from(["<0>", "<1>", "own1", "nobody", "d1.forged"]))
changes = fields(
    description=st.just("x"),
    default_arm=st.sampled_from(["b", "z"]),
    policy=st.sampled_from(["uniform", "thompson", "nobody"]),
    guardrails=st.sampled_from([{"preset": "safe"}, {"preset": "wild"}, {"min_weight": 0.9}]),
    expected_revision=st.sampled_from([1, 2]),
)
steps: st.SearchStrategy[Step] = st.one_of(
    selects.map(lambda body: ("POST", "/select", body)),
    selects.map(lambda body: ("POST", "/select", body)),
    rewards.map(lambda body: ("POST", "/reward", body)),
    rewards.map(lambda body: ("POST", "/reward", body)),
    activations.map(lambda body: ("POST", "/activate", body)),
    changes.map(lambda body: ("PATCH", "/experiments/{name}", {"reason": "why"} | body)),
    st.sampled_from(["pause", "resume"]).map(lambda what: ("POST", "/experiments/{name}/" + what, {"reason": "why"})),
    fields(winner=st.sampled_from([*ARMS, "z"]), by_rule=st.booleans()).map(
        lambda body: ("POST", "/experiments/{name}/conclude", {"reason": "why"} | body)
    ),
    st.just(("DELETE", "/experiments/{name}", {})),
)
definitions = fields(
    policy=st.sampled_from(["thompson", "uniform", {"name": "top_two_thompson", "params": {"beta": 0.5}}, "nobody"]),
    guardrails=st.sampled_from([{"preset": "safe"}, {"preset": "neutral"}, {"min_weight": 0.1}, {"min_weight": 0.9}]),
    assignment=st.sampled_from(["draw", "sticky", "random"]),
    holdout=st.sampled_from([0.0, 0.5]),
    control_arm=st.sampled_from(["a", "z"]),
    default_arm=st.sampled_from(["b", "z"]),
    reward_model=st.sampled_from([{"type": "binary"}, {"type": "ternary"}, {"type": "stars"}]),
    arms=st.sampled_from([["a"], ["a", "a"], ["a", "b", {"id": "c", "prior": {"alpha": 2, "beta": 3}}]]),
)


def play(http: httpx.Client, name: str, definition: dict[str, Any], played: list[Step]) -> list[Any]:
    """Return what a service answers to an experiment and these steps; `<n>` stands for the id of its n-th decision."""
    answers = [seen(http.post("/experiments", json={"experiment_id": name, "arms": list(ARMS)} | definition))]
    decided: list[str] = []
    for method, path, body in played:
        sent = dict(body)
        if path in ("/select", "/reward", "/activate") and not str(sent.get("decision_id", "")).startswith("d1."):
            sent["experiment_id"] = name
        if str(sent.get("decision_id")).startswith("<"):
            place = int(sent["decision_id"][1:-1])
            sent["decision_id"] = decided[place] if place < len(decided) else "nobody"
        answer = http.request(method, path.format(name=name), json=None if method == "DELETE" else sent)
        if path == "/select" and answer.status_code == 200 and "decision_id" not in body:
            decided.append(answer.json()["decision_id"])
        answers.append((method, path, sent.keys(), seen(answer)))
    return answers


def seen(answer: httpx.Response) -> Any:
    """Return what of an answer is decided by rules."""
    document = answer.json()
    if answer.status_code >= 400:
        return answer.status_code, document
    hidden = BY_CHANCE | {"created_at"} if document.get("stratum") in ("bandit", "holdout") else {"weights_version"}
    shown = {key: value for key, value in document.items() if key not in hidden | {"created_at"}}
    if document.get("conclusion"):
        # When and by whom: each side has a clock and callers of its own.
        shown["conclusion"] = {key: value for key, value in shown["conclusion"].items() if key not in ("at", "who")}
    if "slate" in document:
        shown["slate"] = len(document["slate"])
    if "status" in document and "reward" in document:
        shown.pop("arm")
    # A vector over some of the arms is computed beside the first request for it.
    shown["vector"] = str(shown.get("vector")).replace("renormalised", "subset")
    return answer.status_code, {key: value for key, value in shown.items() if key != "decision_id"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(definition=definitions, played=st.lists(steps, min_size=3, max_size=12))
def test_both_services_answer_alike(service: Service, definition: dict[str, Any], played: list[Step]) -> None:
    name = f"same{next(numbers)}"
    headers = {"Authorization": f"Bearer {service.keys['admin']}"}
    with (
        httpx.Client(base_url=service.url, headers=headers, timeout=30) as real,
        httpx.Client(base_url="http://memory", transport=InMemoryService()) as memory,
    ):
        assert play(memory, name, definition, played) == play(real, name, definition, played)
