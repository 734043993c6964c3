"""A process raises rows of its own, and new ones after a while."""

from bandit_service.ledger.slots import oldest_in_use, slot_at


def test_each_place_has_a_slot_of_its_own_for_a_few_seconds() -> None:
    assert slot_at(7, 4_999) == 7
    assert slot_at(7, 5_000) == slot_at(7, 9_999) == 1_007
    assert slot_at(8, 9_999) == 1_008


def test_what_is_merged_is_no_longer_begun() -> None:
    assert oldest_in_use(20_000) == 2_000
    assert all(slot_at(place, 10_000) >= oldest_in_use(20_000) for place in (0, 999))
    assert all(slot_at(place, 9_999) < oldest_in_use(20_000) for place in (0, 999))
