"""Sums of pairs beside a literal fold over single decisions, in fractions."""

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.adaptive.pair_sums import PairSums

type Decision = tuple[int, int, int]
"""The number of its version, its arm, and its reward in millionths."""

VECTORS = [
    (0.5, 0.3, 0.2),
    (1 / 3, 1 / 3, 1 / 3),
    (0.01, 0.98, 0.01),
    (0.7, 0.3, 0.0),
    (0.0, 0.0, 1.0),
    (0.123456789, 0.376543211, 0.5),
]

decisions = st.lists(
    st.tuples(st.integers(0, len(VECTORS) - 1), st.integers(0, 2), st.sampled_from([0, 1, 250_000, 1_000_000])),
    max_size=60,
).map(lambda drawn: [each for each in drawn if VECTORS[each[0]][each[1]] > 0.0])


def q(version: int, i: int, j: int) -> Fraction:
    w = VECTORS[version]
    return Fraction(w[j]) / (Fraction(w[i]) + Fraction(w[j]))


def by_version(made: list[Decision]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count, total, squares = (np.zeros((len(VECTORS), 3)) for _ in range(3))
    for version, arm, micro in made:
        count[version, arm] += 1
        total[version, arm] += micro / 1e6
        squares[version, arm] += (micro / 1e6) ** 2
    return count, total, squares


@given(decisions)
def test_sums_equal_a_fold_of_decisions(made: list[Decision]) -> None:
    sums = PairSums.of_versions(VECTORS, *by_version(made))
    for i in range(3):
        own = [(version, Fraction(micro, 10**6)) for version, arm, micro in made if arm == i]
        for j in range(3):
            if i == j:
                assert sums.q[i, j] == sums.q2r2[i, j] == 0.0
                continue
            folds = {
                "q": sum(q(v, i, j) for v, _ in own),
                "qr": sum(q(v, i, j) * r for v, r in own),
                "q2": sum(q(v, i, j) ** 2 for v, _ in own),
                "q2r": sum(q(v, i, j) ** 2 * r for v, r in own),
                "q2r2": sum((q(v, i, j) * r) ** 2 for v, r in own),
            }
            for name, fold in folds.items():
                assert getattr(sums, name)[i, j] == pytest.approx(float(fold), rel=1e-6, abs=1e-7), name


@given(decisions)
def test_centred_sums_equal_a_fold(made: list[Decision]) -> None:
    sums = PairSums.of_versions(VECTORS, *by_version(made))
    for i in range(3):
        centred = [(Fraction(int(arm == i)) - Fraction(VECTORS[v][i]), Fraction(m, 10**6)) for v, arm, m in made]
        assert sums.centred_count[i] == pytest.approx(float(sum(share for share, _ in centred)), abs=1e-6)
        assert sums.centred_total[i] == pytest.approx(float(sum(share * r for share, r in centred)), abs=1e-6)
        for j in range(3):
            information = sum(
                VECTORS[v][i] * (1.0 - VECTORS[v][i]) if i == j else -VECTORS[v][i] * VECTORS[v][j] for v, _, _ in made
            )
            assert sums.information[i, j] == pytest.approx(information, abs=1e-6)


@given(decisions)
def test_order_does_not_matter(made: list[Decision]) -> None:
    once = PairSums.of_versions(VECTORS, *by_version(made))
    half = len(made) // 2
    twice = PairSums.of_versions(VECTORS, *by_version(made[half:])) + PairSums.of_versions(
        VECTORS, *by_version(made[:half])
    )
    for name in PairSums.__slots__:
        np.testing.assert_allclose(getattr(twice, name), getattr(once, name), rtol=1e-12, atol=1e-9)


def test_what_moves_both_arms_cancels() -> None:
    """Both arms .05, then both .15, with most traffic on the first meanwhile: pooled 12% and 6%, overlap 6.6% both."""
    sums = PairSums.of_versions(
        [[0.5, 0.5], [0.95, 0.05]], [[2_000, 2_000], [3_800, 200]], [[100, 100], [570, 30]], [[100, 100], [570, 30]]
    )
    assert sums.mean[0, 1] == pytest.approx(sums.mean[1, 0], abs=1e-12)
    assert sums.mean[0, 1] == pytest.approx((1_000 * 0.05 + 190 * 0.15) / 1_190)
    assert sums.has_moved


def test_equal_weights_leave_every_decision_its_size() -> None:
    count = np.array([[30.0, 20.0, 10.0], [5.0, 5.0, 0.0]])
    sums = PairSums.of_versions(np.full((2, 3), 1 / 3), count, 0.1 * count, 0.1 * count)
    others = ~np.eye(3, dtype=np.bool_)
    wanted = np.broadcast_to(count.sum(axis=0)[:, None], (3, 3))
    np.testing.assert_allclose(sums.effective_size[others], wanted[others], rtol=1e-12)
    assert not sums.has_moved


def test_a_new_arm_without_rewards_moves_nothing() -> None:
    weights = [[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]]
    assert not PairSums.of_versions(weights, [[9, 9, 0], [5, 4, 0]], np.zeros((2, 3)), np.zeros((2, 3))).has_moved
    assert PairSums.of_versions(weights, [[9, 9, 0], [5, 4, 1]], np.zeros((2, 3)), np.zeros((2, 3))).has_moved


def test_unknown_weights_are_the_shares() -> None:
    unknown = PairSums.of([np.nan, np.nan], [30.0, 10.0], [3.0, 2.0], [3.0, 2.0])
    known = PairSums.of([0.75, 0.25], [30.0, 10.0], [3.0, 2.0], [3.0, 2.0])
    for name in PairSums.__slots__:
        assert np.array_equal(getattr(unknown, name), getattr(known, name))


def test_a_subset_keeps_its_pairs() -> None:
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(4), 6)
    count = rng.integers(1, 50, (6, 4))
    sums = PairSums.of_versions(weights, count, 0.2 * count, 0.2 * count)
    two = sums.subset(np.array([True, False, False, True]))
    assert two.q[0, 1] == sums.q[0, 3]
    assert two.total.tolist() == sums.total[[0, 3]].tolist()


@pytest.mark.parametrize("weights", [[0.5, -0.5], [0.5, 0.25, 0.25]])
def test_weights_that_make_no_sense_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        PairSums.of(weights, [1.0, 1.0], [0.0, 0.0], [0.0, 0.0])


def test_a_hundred_arms_take_no_loop() -> None:
    """Half a million pairs take a tenth of a second; a loop in Python takes many."""
    rng = np.random.default_rng(1)
    weights, count = rng.dirichlet(np.ones(100), 50), rng.integers(0, 9, (50, 100)).astype(np.float64)
    start = time.process_time()
    PairSums.of_versions(weights, count, count, count)
    assert time.process_time() - start < 2.0
