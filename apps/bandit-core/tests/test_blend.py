"""Blending is deterministic, fair to the confidences at every length, and credits every item once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.blend import Blended, blend

RECOMMENDERS = {"embeddings": ["m1", "m2", "m3"], "svd": ["m2", "m4"], "long_tail": ["m9", "m1"]}
CONFIDENCES = {"embeddings": 0.45, "svd": 0.35, "long_tail": 0.20}


def test_three_recommenders_in_turn() -> None:
    assert blend(RECOMMENDERS, CONFIDENCES, 5) == [
        Blended("m1", "embeddings", 0),
        Blended("m2", "svd", 0),
        Blended("m9", "long_tail", 0),
        Blended("m3", "embeddings", 2),
        Blended("m4", "svd", 1),
    ]


@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=4), n=st.integers(0, 60))
def test_every_prefix_is_within_one_item_of_the_confidences(weights: list[int], n: int) -> None:
    sources = {str(place): [(place, rank) for rank in range(n)] for place in range(len(weights))}
    blended = blend(sources, {str(place): float(weight) for place, weight in enumerate(weights)}, n)
    for length in range(n + 1):
        for place, weight in enumerate(weights):
            given_by = sum(each.source == str(place) for each in blended[:length])
            assert abs(given_by - length * weight / sum(weights)) < 1.0


@given(
    lists=st.lists(st.lists(st.integers(0, 12), unique=True, max_size=8), min_size=1, max_size=4), n=st.integers(0, 40)
)
def test_nothing_comes_twice_and_nothing_is_left_out_for_want_of_turns(lists: list[list[int]], n: int) -> None:
    sources = {str(place): items for place, items in enumerate(lists)}
    blended = blend(sources, dict.fromkeys(sources, 1.0), n)
    items = [each.item for each in blended]
    assert len(set(items)) == len(items) == min(n, len({item for each in lists for item in each}))
    assert all(sources[each.source][each.rank] == each.item for each in blended)


def test_a_source_without_confidence_gives_nothing() -> None:
    assert {each.source for each in blend(RECOMMENDERS, CONFIDENCES | {"svd": 0.0}, 9)} == {"embeddings", "long_tail"}


@pytest.mark.parametrize(
    ("confidences", "n", "message"),
    [
        ({"embeddings": 1.0}, 3, "long_tail, svd"),
        (dict.fromkeys(RECOMMENDERS, 0.0), 3, "above 0"),
        (CONFIDENCES | {"svd": -1.0}, 3, "svd"),
        (CONFIDENCES, -1, "n must be"),
    ],
)
def test_what_makes_no_sense_is_refused(confidences: dict[str, float], n: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        blend(RECOMMENDERS, confidences, n)
