import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_local.errors import LocalError
from bandit_local.obd import MIN_IMPRESSIONS, Item, choose_arms, read_items, sample_log


@pytest.fixture(scope="module")
def women() -> list[Item]:
    return read_items(sample_log())


def items() -> st.SearchStrategy[list[Item]]:
    counts = st.tuples(st.integers(1, 400), st.integers(0, 5)).map(lambda pair: (pair[0], min(pair)))
    return st.lists(counts, max_size=60).map(lambda pairs: [Item(item_id, *pair) for item_id, pair in enumerate(pairs)])


def test_the_sample_holds_46_clicks_in_10_000_rounds(women: list[Item]) -> None:
    assert sum(item.impressions for item in women) == 10_000
    assert sum(item.clicks for item in women) == 46
    assert len(women) == 46


def test_five_arms_are_spread_over_the_ranks(women: list[Item]) -> None:
    arms = choose_arms(women, 5)
    assert [(arm.item_id, arm.clicks, arm.impressions) for arm in arms] == [
        (3, 3, 201),
        (21, 2, 214),
        (39, 2, 244),
        (38, 1, 214),
        (44, 1, 233),
    ]
    assert arms[0].arm == "item-3"
    assert arms[0].click_rate == 3 / 201


@pytest.mark.parametrize("number", range(2, 16))
def test_the_two_nearly_tied_items_at_the_top_are_never_both_taken(women: list[Item], number: int) -> None:
    chosen = {item.item_id for item in choose_arms(women, number)}
    assert len(chosen) == number
    assert 3 in chosen
    assert 25 not in chosen


@pytest.mark.parametrize("number", [-1, 0, 1, 16, 1_000])
def test_a_number_of_arms_the_sample_cannot_give_is_refused_naming_what_it_can(women: list[Item], number: int) -> None:
    with pytest.raises(LocalError, match=f"2 to 15 arms, not {number}"):
        choose_arms(women, number)


@given(items(), st.integers(2, 30))
def test_arms_go_from_the_highest_rate_to_the_lowest_and_leave_out_neighbours(
    population: list[Item], number: int
) -> None:
    known = [item for item in population if item.impressions >= MIN_IMPRESSIONS and item.clicks]
    if number > (len(known) + 1) // 2:
        with pytest.raises(LocalError):
            choose_arms(population, number)
        return
    ranked = sorted(known, key=lambda item: (-item.click_rate, item.item_id))
    ranks = [ranked.index(item) for item in choose_arms(population, number)]
    assert ranks[0] == 0
    assert ranks[-1] == len(ranked) - 1
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(ranks))
