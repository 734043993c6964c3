"""The service in memory decides by the rules of the service: the same requests get the same answers and errors."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandit_sdk.testing import InMemoryService

if TYPE_CHECKING:
    from conftest import Service

type Step = tuple[str, str, dict[str, Any]]
type Steps = st.SearchStrategy[list[Step]]

ARMS: Final = ("a", "b", "c")
# What chance decides, or each side numbers by itself.
BY_CHANCE: Final = {"arm", "arm_index", "propensity", "slate_propensity", "weights_version", "stratum", "decision_id"}
HIDDEN: Final = {"created_at", "taken_at", "arms"}
numbers = itertools.count()


def fields(**given_: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=given_)


def step(method: str, path: str, bodies: st.SearchStrategy[dict[str, Any]], **fixed: Any) -> st.SearchStrategy[Step]:
    return bodies.map(lambda body: (method, path, body | fixed))


def change(path: str, bodies: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Step]:
    return step("POST", "/experiments/{name}" + path, bodies, reason="why")


def row(*steps: st.SearchStrategy[Step]) -> Steps:
    """Return steps that go together, one after the other."""
    return st.tuples(*steps).map(list)


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
# What differs from an earlier request of the same id, and is none that every rule refuses.
variations = fields(unit_id=st.just("u3"), k=st.just(2), exclude_arms=st.just(["a"]), defer_activation=st.booleans())
# `<n>` is the id of the n-th decision, counted from the last one; "=" the arm that it was for, "!" another one.
rewards = fields(
    decision_id=st.sampled_from(["<0>", "<1>", "<2>", "own1", "nobody", "d1.forged"]),
    arm=st.sampled_from(["=", "!", "z"]),
    reward_id=st.sampled_from(["w1", "w2"]),
    reward=st.sampled_from([0, 1, 0.5, 1.5, "1"]),
    outcome=st.sampled_from(["success", "failure", "neutral", "weird", True]),
    position=st.sampled_from([0, 0, 1, 5, 99]),
)
activations = fields(decision_id=st.sampled_from(["<0>", "<1>", "own1", "nobody", "d1.forged"]))
patches = fields(
    description=st.just("x"),
    default_arm=st.sampled_from(["b", "z"]),
    policy=st.sampled_from(["uniform", "thompson", "nobody"]),
    guardrails=st.sampled_from([{"preset": "safe"}, {"preset": "wild"}, {"min_weight": 0.9}]),
    expected_revision=st.sampled_from([1, 2]),
)
values, positions = st.sampled_from([0, 0.5, 1]), st.sampled_from([0, 1])
unit = {"unit_id": "u1"}
select_any = step("POST", "/select", selects)
reward_any = step("POST", "/reward", rewards)
activate = step("POST", "/activate", activations)
numbered = st.fixed_dictionaries({"reward": values, "position": positions})
reward_last = step("POST", "/reward", numbered, decision_id="<0>")
snapshot = step("POST", "/experiments/{name}/snapshots", fields(min_events=st.sampled_from([0, 1, 2, 5, -1])))
gone = st.sampled_from(["b", "c", "z"])
successor = fields(default_arm=st.sampled_from(["a", "z"]), control_arm=st.sampled_from(["a", "b"]))


def select_again(of: str) -> st.SearchStrategy[Step]:
    return step("POST", "/select", variations, **{of: "same"}, **unit)


def about_an_arm(arm: str) -> Steps:
    """Return what an arm that is taken away is asked for, and coming back."""
    asked = fields(eligible_arms=st.sampled_from([[arm], ["a", arm]]), exclude_arms=st.just(["a"]))
    return row(
        step("POST", "/select", st.just(unit)),
        change(f"/arms/{arm}/" + "retire", successor) | change(f"/arms/{arm}/" + "pause", successor),
        step("POST", "/select", asked, **unit),
        step("POST", "/reward", fields(reward_id=st.just("w1")), arm=arm, reward=1),
        reward_last,
        change(f"/arms/{arm}/resume", fields(expected_revision=st.just(1))),
        step("POST", "/select", asked, **unit),
    )


rows: Steps = st.one_of(
    row(select_any),
    row(reward_any),
    row(activate),
    row(snapshot),
    row(step("PATCH", "/experiments/{name}", patches, reason="why")),
    row(change("/pause", st.just({})) | change("/resume", st.just({}))),
    row(change("/conclude", fields(winner=st.sampled_from([*ARMS, "z"]), by_rule=st.booleans()))),
    row(change("/arms", st.sampled_from([{"id": "c"}, {"id": "d"}, {"id": "a b"}]))),
    # One id for two requests, which may ask for different things.
    row(select_again("request_id"), reward_last, select_again("request_id"), reward_last),
    row(select_again("decision_id"), reward_last, select_again("decision_id"), reward_last),
    # One decision, rewarded twice at one position or at two, before and after it was shown.
    row(step("POST", "/select", variations, **unit), reward_last, reward_last, snapshot),
    row(step("POST", "/select", st.just(unit), defer_activation=True), reward_last, snapshot, activate, snapshot),
    row(step("POST", "/select", st.just(unit), defer_activation=True), activate, activate, reward_last),
    # A direct reward under one id, for one arm or two.
    *[row(*[step("POST", "/reward", fields(reward=values), arm=arm, reward_id="w3") for arm in "aab"])],
    gone.flatmap(about_an_arm),
)
direct = step("POST", "/reward", fields(reward_id=st.just("w1")), arm="a", reward=1)
archive = row(step("DELETE", "/experiments/{name}", st.just({})), select_any, reward_last, direct)
definitions = fields(
    policy=st.sampled_from(["thompson", "uniform", {"name": "top_two_thompson", "params": {"beta": 0.5}}, "nobody"]),
    guardrails=st.sampled_from([{"preset": "safe"}, {"preset": "neutral"}, {"min_weight": 0.1}, {"min_weight": 0.9}]),
    assignment=st.sampled_from(["draw", "sticky", "random"]),
    holdout=st.sampled_from([0.0, 0.5]),
    control_arm=st.sampled_from(["a", "z"]),
    default_arm=st.sampled_from(["b", "z"]),
    reward_model=st.sampled_from([{"type": "binary"}, {"type": "ternary"}, {"type": "stars"}]),
    # Of these two, every reward of the second is late.
    reward_window=st.sampled_from([3_600.0, 0.001]),
    arms=st.sampled_from([["a"], ["a", "a"], ["a", "b", {"id": "c", "prior": {"alpha": 2, "beta": 3}}]]),
)
valid = fields(
    policy=st.sampled_from(["thompson", "uniform"]),
    guardrails=st.just({"preset": "neutral"}),
    reward_window=st.sampled_from([3_600.0, 3_600.0, 0.001]),
    # Each side has a salt of its own, so nobody or everybody is held out.
    holdout=st.sampled_from([0.0, 1 - 1e-9]),
).map(lambda definition: {"control_arm": "a"} | definition)


class Player:
    """Sends steps to one service, about one experiment, and remembers its decisions."""

    def __init__(self, http: httpx.Client, name: str) -> None:
        self.http, self.name = http, name
        self.decided: list[tuple[str, str]] = []

    def create(self, definition: dict[str, Any]) -> Any:
        body = {"experiment_id": self.name, "arms": list(ARMS)} | definition
        return seen(self.http.post("/experiments", json=body))

    def play(self, step: Step) -> Any:
        """Return what the service answers, as far as rules decide it."""
        method, path, body = step
        sent = dict(body)
        if path in ("/select", "/reward", "/activate") and not str(sent.get("decision_id", "")).startswith("d1."):
            sent["experiment_id"] = self.name
        arm = "a"
        if str(sent.get("decision_id")).startswith("<"):
            place = int(sent["decision_id"][1:-1])
            sent["decision_id"], arm = self.decided[-1 - place] if place < len(self.decided) else ("nobody", "a")
        if "arm" in sent:
            sent["arm"] = {"=": arm, "!": "b" if arm == "a" else "a"}.get(sent["arm"], sent["arm"])
        if path in ("/reward", "/activate"):
            # A window of a millisecond is over.
            time.sleep(0.002)
        answer = self.http.request(method, path.format(name=self.name), json=None if method == "DELETE" else sent)
        if path == "/select" and answer.status_code == 200:
            self.decided.append((answer.json()["decision_id"], answer.json()["arm"]))
        return method, path, sent.keys(), seen(answer)


def seen(answer: httpx.Response) -> Any:
    """Return what of an answer is decided by rules."""
    document = answer.json()
    if answer.status_code >= 400:
        return answer.status_code, document
    hidden = BY_CHANCE if document.get("stratum") in ("bandit", "holdout") else {"weights_version"}
    shown = {key: value for key, value in document.items() if key not in hidden | HIDDEN}
    if "arms" in document and "revision" in document:
        shown["arms"] = document["arms"]
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


@pytest.fixture(scope="module")
def both(service: Service) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    headers = {"Authorization": f"Bearer {service.keys['admin']}"}
    with (
        httpx.Client(base_url="http://memory", transport=InMemoryService()) as memory,
        httpx.Client(base_url=service.url, headers=headers, timeout=30) as real,
    ):
        yield memory, real


def check(both: tuple[httpx.Client, httpx.Client], definition: dict[str, Any], steps: list[Step]) -> None:
    name = f"same{next(numbers)}"
    memory, real = (Player(http, name) for http in both)
    assert memory.create(definition) == real.create(definition)
    for each in steps:
        assert memory.play(each) == real.play(each)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(definition=definitions, steps=st.lists(select_any | reward_any, min_size=2, max_size=5))
def test_definitions_are_judged_alike(both: Any, definition: dict[str, Any], steps: list[Step]) -> None:
    check(both, definition, steps)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(definition=valid, rows=st.lists(rows, min_size=4, max_size=12), last=archive)
def test_requests_are_answered_alike(both: Any, definition: dict[str, Any], rows: Any, last: list[Step]) -> None:
    check(both, definition, [*itertools.chain(*rows), *last])
