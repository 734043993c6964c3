"""Choices for requests with contexts: one by one and together, they are drawn from the exact vector of each."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.arm_selector import ArmSelector
from bandit_core.rules.experiment import (
    ArmDefinition,
    Experiment,
    FeaturesDefinition,
    GuardrailsDefinition,
    PolicyDefinition,
    SegmentField,
)
from bandit_core.rules.linear_record import LinearRecord
from bandit_core.rules.problems import Invalid, Problem
from bandit_core.rules.requests import SelectRequest
from bandit_core.rules.selection import Selection
from bandit_core.rules.served_experiment import NoWeightsError, ServedExperiment

ARMS = ("a", "b", "c", "d")
EVEN = dict.fromkeys(ARMS, 0.25)
FEATURES = FeaturesDefinition(features=("age", "height"))


def served(
    policy: str = "linear_thompson", *, models: bool = True, retired: str = "", **fields: Any
) -> ServedExperiment:
    """An experiment with two features and an intercept, whose arms differ in what they have learnt."""
    given: dict[str, Any] = {
        "id": "homepage",
        "namespace": "default",
        "status": "running",
        "revision": 1,
        "arms": tuple(
            ArmDefinition(index=index, id=arm, status="retired" if arm in retired else "active")
            for index, arm in enumerate(ARMS)
        ),
        "default_arm": "a",
        "created_at": 0.0,
        "salt": "00" * 16,
        "policy": PolicyDefinition(policy, {"alpha": 0.4}),
        "context": FEATURES,
        "guardrails": GuardrailsDefinition(min_weight=0.02),
    }
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 3, 3))
    record = LinearRecord(
        version=1,
        turn=1,
        arms=ARMS,
        theta=rng.normal(size=(4, 3)).astype("<f8").tobytes(),
        covariance=(root @ root.swapaxes(1, 2)).astype("<f8").tobytes(),
    )
    allocation = AllocationRecord(
        version=1, revision=1, published_at=0.0, changed_at=0.0, weights=EVEN, prob_best=EVEN, expected_loss=EVEN
    )
    return ServedExperiment(Experiment(**given | fields), allocation, record if models else None)


def selector(uniform: float = 0.5) -> ArmSelector:
    return ArmSelector(uniform=lambda: uniform, generator=np.random.default_rng(1))


def request(context: Any = (0.3, -1.2), **fields: Any) -> SelectRequest:
    return msgspec.convert({"experiment_id": "homepage", "context": context, **fields}, SelectRequest)


def weights(experiment: ServedExperiment, asked: SelectRequest) -> dict[str, float]:
    """Each arm that some uniform number draws, with its propensity."""
    chosen = [selector((place + 0.5) / 400).select(experiment, asked) for place in range(400)]
    return {each.arm.id: each.propensity for each in chosen}


contexts = st.lists(st.tuples(st.floats(-50.0, 50.0), st.floats(-50.0, 50.0)), min_size=1, max_size=6)
several = pytest.mark.parametrize("policy", ["linear_thompson", "linucb"])


@several
@settings(max_examples=40, deadline=None)
@given(given_contexts=contexts, uniform=st.floats(0.0, 1.0, exclude_max=True))
def test_together_as_one_by_one(policy: str, given_contexts: list[tuple[float, float]], uniform: float) -> None:
    experiment, chooser = served(policy), selector(uniform)
    asked = [request(list(each)) for each in given_contexts]
    together = chooser.select_all([(experiment, each) for each in asked])
    for each, one in zip(together, [chooser.select(experiment, each) for each in asked], strict=True):
        assert isinstance(each, Selection)
        if each.arm == one.arm:
            assert each.propensity == pytest.approx(one.propensity, abs=1e-12)
        assert (each.context, each.vector, each.stratum) == (one.context, "context", "bandit")


@several
@settings(max_examples=60, deadline=None)
@given(given_contexts=contexts, eligible=st.none() | st.frozensets(st.sampled_from(ARMS), min_size=1))
def test_a_vector_sums_to_1(
    policy: str, given_contexts: list[tuple[float, float]], eligible: frozenset[str] | None
) -> None:
    experiment = served(policy)
    for numbers in ([list(each) for each in given_contexts], list(given_contexts[0])):
        arms, vectors = experiment.weights_in(numbers, eligible)
        assert {arm.id for arm in arms} == (eligible or set(ARMS))
        assert vectors.min() >= 0.02
        np.testing.assert_allclose(vectors.sum(axis=-1), 1.0, rtol=0.0, atol=1e-12)


def test_the_propensity_is_the_weight_drawn_with() -> None:
    experiment = served()
    arms, vector = experiment.weights_in([0.3, -1.2])
    drawn = weights(experiment, request())
    assert drawn == dict(zip([arm.id for arm in arms], vector.tolist(), strict=True))
    shares = np.bincount(
        [
            chosen.arm.index
            for u in ((np.arange(2_000) + 0.5) / 2_000).tolist()
            for chosen in selector(u).select_all([(experiment, request())])
            if isinstance(chosen, Selection)
        ]
    )
    np.testing.assert_allclose(shares / 2_000, vector, atol=1e-3)


def test_by_name_or_in_order() -> None:
    named = selector().select(served(), request({"height": -1.2, "age": 0.3}))
    assert named == selector().select(served(), request([0.3, -1.2]))
    assert named.context == [0.3, -1.2]


def test_arms_left_out_get_no_weight() -> None:
    experiment = served(retired="d")
    assert weights(experiment, request()).keys() == set("abc")
    assert weights(experiment, request(exclude_arms=["a"])).keys() == set("bc")
    assert weights(experiment, request(eligible_arms=["c"])) == {"c": pytest.approx(1.0, abs=1e-12)}


def test_a_unit_sticks_to_its_arm() -> None:
    """In its segment, or among the arms that are left, with any uniform number and any other requests."""
    by_segment = served(
        "thompson", context=None, assignment="sticky", segment_by=(SegmentField("age", ("old", "young"), "old"),)
    )
    asked = [
        (by_segment, request({"age": "young"}, unit_id=str(unit), exclude_arms=left_out))
        for unit in range(20)
        for left_out in (None, ["b"])
    ]
    for each, together in zip(asked, selector(0.0).select_all([(served(), request()), *asked])[1:], strict=True):
        assert together == selector(0.999).select(*each)


def test_each_of_many_has_its_own_result() -> None:
    """Experiments, subsets and faults may be mixed; every request is answered in its place."""
    experiment, plain = served(), served("thompson", context=None)
    by_segment = served("thompson", context=None, segment_by=(SegmentField("age", ("old", "young"), "old"),))
    untaught = served(models=False)
    asked = [
        (experiment, request()),
        (plain, request(None)),
        (experiment, request([1.0])),
        (experiment, request(eligible_arms=["a"])),
        (untaught, request()),
        (by_segment, request({"age": "young"})),
        (experiment, request(eligible_arms=["nobody"])),
        (experiment, request()),
    ]
    found = selector().select_all(asked)
    for (each, wanted), result in zip(asked, found, strict=True):
        if isinstance(result, Problem):
            with pytest.raises(type(result), match=result.detail[:20]):
                selector().select(each, wanted)
        else:
            one = selector().select(each, wanted)
            assert result.propensity == pytest.approx(one.propensity, abs=1e-12)
            assert msgspec.structs.replace(result, propensity=one.propensity) == one
    assert [type(each) for each in found] == [
        Selection, Selection, Invalid, Selection, NoWeightsError, Selection, Invalid, Selection,
    ]  # fmt: skip


def test_a_paused_experiment_draws_nothing() -> None:
    paused = served(status="paused", default_arm="c")
    [together] = selector().select_all([(paused, request())])
    assert together == Selection(paused.experiment.arm("c"), 1.0, "paused", context=[0.3, -1.2])
