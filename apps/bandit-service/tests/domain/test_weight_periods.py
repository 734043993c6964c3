"""Versions that are folded into periods add up to the same, in whatever order they come."""

from __future__ import annotations

from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_service.domain.weight_periods import (
    Period,
    Rewards,
    VersionRewards,
    VersionSums,
    VersionWeights,
    folded,
)

WEIGHTS = {
    version: VersionWeights({0: version / 40, 1: 1 - version / 40}, 0.1 * (version % 2), float(version), version + 1.0)
    for version in range(1, 31)
}
a_version = st.integers(1, 30)
some_rewards = st.builds(Rewards, st.integers(1, 5), st.integers(-(10**12), 10**12), st.integers(0, 10**15))
a_reward = st.tuples(a_version, st.sampled_from(["bandit", "bandit", "holdout"]), st.integers(0, 1), some_rewards)


def fold(periods: tuple[Period, ...], told: list[tuple[int, str, int, Rewards]]) -> tuple[Period, ...]:
    by_version: dict[int, VersionRewards] = {}
    for version, stratum, arm, rewards in told:
        by_version.setdefault(version, VersionRewards()).add(stratum, arm, rewards)
    return folded(periods, by_version, WEIGHTS)


@given(parts=st.lists(st.lists(a_reward, max_size=6), max_size=5))
def test_any_order_of_folds_adds_up_alike(parts: list[list[tuple[int, str, int, Rewards]]]) -> None:
    step_by_step: tuple[Period, ...] = ()
    for part in parts:
        step_by_step = fold(step_by_step, part)
    at_once = fold((), [each for part in reversed(parts) for each in part])
    assert [(each.first_version, each.last_version) for each in step_by_step] == [
        (each.first_version, each.last_version) for each in at_once
    ]
    assert all(one.sums.is_same(two.sums) for one, two in zip(step_by_step, at_once, strict=True))


def one(version: int, arms: int = 2) -> tuple[dict[int, VersionRewards], dict[int, VersionWeights]]:
    rewards = VersionRewards()
    for arm in range(arms):
        rewards.add("bandit", arm, Rewards(1, 5, 1))
    weights = VersionWeights(dict.fromkeys(range(arms), 1 / arms), 0.0, float(version), version + 1.0)
    return {version: rewards}, {version: weights}


@pytest.mark.parametrize(("arms", "most"), [(2, 200), (20, 50), (150, 2)])
def test_few_periods_are_kept(arms: int, most: int) -> None:
    periods: tuple[Period, ...] = ()
    for version in range(1, most + 4):
        periods = folded(periods, *one(version, arms))
    assert len(periods) == most
    assert sum(period.sums.arms.count[0] for period in periods) == most + 3
    assert (periods[0].begins, periods[-1].ends) == (1.0, most + 4.0)


def test_what_comes_late_changes_one_period() -> None:
    periods: tuple[Period, ...] = ()
    for version in (1, 2, 5):
        periods = folded(periods, *one(version))
    late = folded(periods, *one(2))
    assert [new is old for new, old in zip(late, periods, strict=True)] == [True, False, True]
    between = folded(late, *one(4))
    assert [each.first_version for each in between] == [1, 2, 4, 5]


def test_an_arm_that_joined_has_nothing_before() -> None:
    [two], [three] = folded((), *one(1)), folded((), *one(2, 3))
    both = two.sums + three.sums
    assert both.arms.count.tolist() == [2, 2, 1]
    assert both.is_same(reduce(add, [three.sums, two.sums]))
    assert VersionSums.decoded(both.encoded()).is_same(both)


def test_versions_without_rewards_make_no_period() -> None:
    assert folded((), {3: VersionRewards()}, {}) == ()
