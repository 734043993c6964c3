"""Periods are exact: merging changes no sum, and no order does."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.period_sums import PeriodSums, merge_plan

ARMS = 3
type Version = tuple[list[float], list[int], list[int], list[int]]

shares = st.lists(st.integers(0, 1_000), min_size=ARMS, max_size=ARMS).filter(any)


@st.composite
def version(draw: st.DrawFn) -> Version:
    parts = draw(shares)
    weights = [part / sum(parts) for part in parts]
    count = [draw(st.integers(0, 10**9)) if weight else 0 for weight in weights]
    total = [draw(st.integers(0, n * 10**6)) for n in count]
    return weights, count, total, [draw(st.integers(0, each)) for each in total]


versions = st.lists(version(), min_size=1, max_size=6)


@given(versions)
def test_merging_never_changes_the_sums(given_versions: list[Version]) -> None:
    periods = [PeriodSums.of_version(*each) for each in given_versions]
    forwards, backwards = periods[0], periods[-1]
    for each in periods[1:]:
        forwards = forwards + each
    for each in periods[-2::-1]:
        backwards = backwards + each
    assert forwards == backwards


@given(versions)
def test_a_period_reads_as_its_versions_do(given_versions: list[Version]) -> None:
    weights, count, total, squares = (np.array(each, dtype=np.float64) for each in zip(*given_versions, strict=True))
    period = PeriodSums.of_version(*given_versions[0])
    for each in given_versions[1:]:
        period = period + PeriodSums.of_version(*each)
    read = period.read()
    floats = PairSums.of_versions(weights, count, total / 1e6, squares / 1e6)
    for name in PairSums.__slots__:
        # Centred sums are differences of sums as large as all decisions.
        scale = float(count.sum()) if name in ("centred_count", "centred_total", "information") else 1.0
        np.testing.assert_allclose(getattr(read, name), getattr(floats, name), rtol=1e-9, atol=1e-12 * scale + 1e-9)


@given(version())
def test_a_period_survives_json(given_version: Version) -> None:
    period = PeriodSums.of_version(*given_version)
    assert PeriodSums.from_record(json.loads(json.dumps(period.to_record()))) == period


def test_sums_of_any_size_stay_exact() -> None:
    """Beyond 2^63, where floats and bigints give up."""
    one = PeriodSums.of_version([0.4, 0.6], [10**12 + 1, 1], [10**18 + 1, 7], [10**18 + 3, 5])
    assert one.q2r2[0, 1] == (600_000_000**2) * (10**18 + 3)
    assert (one + one).q2r2[0, 1] == 2 * one.q2r2[0, 1]
    assert one != one + one


def test_an_arm_that_joins_later_gets_room() -> None:
    two, three = (
        PeriodSums.of_version(weights, [4] * len(weights), [10**6] * len(weights), [10**6] * len(weights))
        for weights in ([0.5, 0.5], [0.25, 0.25, 0.5])
    )
    both = two.padded(3) + three
    assert both.count.tolist() == [8, 8, 4]
    assert both.read().q[0, 2] == pytest.approx(4 * 0.5 / 0.75)


def test_nothing_is_merged_while_there_is_room() -> None:
    assert merge_plan([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], most=3) == [range(1), range(1, 2), range(2, 3)]
    assert merge_plan([], []) == []
    with pytest.raises(ValueError, match="start and an end"):
        merge_plan([0.0], [])


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=80), st.integers(1, 20))
def test_a_plan_is_a_partition_in_order(lengths: list[float], most: int) -> None:
    edges = np.concatenate(([0.0], np.cumsum(lengths))).tolist()
    plan = merge_plan(edges[:-1], edges[1:], most)
    assert len(plan) == min(most, len(lengths))
    assert [index for group in plan for index in group] == list(range(len(lengths)))


def test_periods_are_short_beside_their_age() -> None:
    """10,000 versions that came one a minute and were merged as they came."""
    starts, ends = [], []
    for minute in range(10_000):
        starts.append(60.0 * minute)
        ends.append(60.0 * (minute + 1))
        if len(starts) > 220:
            plan = merge_plan(starts, ends)
            starts, ends = [starts[group.start] for group in plan], [ends[group.stop - 1] for group in plan]
    now = ends[-1]
    spans = np.array(ends) - np.array(starts)
    ages = now - np.array(ends)
    assert len(starts) <= 220
    assert (spans[ages > 0] / (ages[ages > 0] + 60.0)).max() < 1.0
    assert np.median(spans[ages > 0] / ages[ages > 0]) < 0.05
