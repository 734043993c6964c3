"""Contexts as vectors: by name or in order, and every fault named by its field."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.features import FeatureMap

numbers = st.floats(-1e6, 1e6)


def test_numbers_by_name_stand_in_the_declared_order_before_the_intercept() -> None:
    features = FeatureMap(["age", "weight"])
    assert features.vector({"weight": 0.5, "age": 35}).tolist() == [35.0, 0.5, 1.0]
    assert (features.given, features.dimension, features.names) == (2, 3, ("age", "weight"))


def test_named_features_may_come_as_a_list_in_their_order() -> None:
    assert FeatureMap(["age", "weight"]).vector([35, 0.5]).tolist() == [35.0, 0.5, 1.0]


def test_the_intercept_can_be_left_out() -> None:
    features = FeatureMap(2, intercept=False)
    assert features.vector([3, 4]).tolist() == [3.0, 4.0]
    assert (features.given, features.dimension, features.names) == (2, 2, None)


@given(st.lists(numbers, min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_the_order_in_which_names_come_does_not_matter(values: list[float], random: object) -> None:
    names = [f"x{place}" for place in range(len(values))]
    pairs = list(zip(names, values, strict=True))
    random.shuffle(pairs)  # type: ignore[attr-defined]
    vector = FeatureMap(names).vector(dict(pairs))
    assert vector.dtype == np.float64
    assert vector.tolist() == [*values, 1.0]


@pytest.mark.parametrize("one", [True, np.True_, np.int64(1), np.float32(1.0), 1, 1.0])
def test_booleans_and_numpys_numbers_are_numbers(one: object) -> None:
    assert FeatureMap(1).vector([one]).tolist() == [1.0, 1.0]


def test_minus_zero_is_zero_to_the_last_bit() -> None:
    assert FeatureMap(1).vector([-0.0]).tobytes() == FeatureMap(1).vector([0.0]).tobytes()


def test_the_bounds_themselves_are_allowed() -> None:
    assert FeatureMap(2, intercept=False).vector([1e6, -1_000_000]).tolist() == [1e6, -1e6]


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"age": 1}, "context.weight is missing"),
        ({"age": 1, "weight": 2, "shoe": 3}, "context.shoe is not a feature; declared are age, weight"),
        ({"age": "old", "weight": 2}, "context.age must be a finite number, got 'old'"),
        ({"age": None, "weight": 2}, "context.age must be a finite number, got None"),
        ({"age": 1, "weight": math.nan}, "context.weight must be a finite number, got nan"),
        ({"age": 1, "weight": -math.inf}, "context.weight must be a finite number, got -inf"),
        ({"age": 1_000_001, "weight": 2}, r"context.age must lie between -1e\+06 and 1e\+06, got 1000001: scale it"),
        ({"age": 10**400, "weight": 2}, r"context.age must lie between -1e\+06 and 1e\+06"),
        ([1.0], "context must have 2 numbers, got 1"),
        ([1.0, 2.0, 3.0], "context must have 2 numbers, got 3"),
        ([1.0, "2"], r"context\[1\] must be a finite number, got '2'"),
        ([-1e7, 1.0], r"context\[0\] must lie between"),
    ],
)
def test_a_context_that_does_not_fit_is_refused_by_field(
    context: Mapping[str, object] | Sequence[object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureMap(["age", "weight"]).vector(context)


def test_features_without_names_cannot_be_given_by_name() -> None:
    with pytest.raises(ValueError, match="context must be a list of 2 numbers: its features have no names"):
        FeatureMap(2).vector({"age": 1, "weight": 2})


@pytest.mark.parametrize("features", [0, -1, 128, [], [f"x{place}" for place in range(128)]])
def test_a_vector_has_1_to_128_numbers_with_the_intercept(features: int | list[str]) -> None:
    with pytest.raises(ValueError, match="a vector must have 1 to 128 numbers, the intercept included"):
        FeatureMap(features)
    assert FeatureMap(127).dimension == FeatureMap(128, intercept=False).dimension == 128


def test_names_must_differ() -> None:
    with pytest.raises(ValueError, match="names of features must differ"):
        FeatureMap(["age", "age"])
