"""Sums of outer products: equal to Python's integers, whatever the order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.outer_sums import GREATEST_INTEGER, OuterSum


def joined(total: OuterSum) -> list[list[int]]:
    return [
        [(int(high) << 48) + int(low) for high, low in zip(*rows, strict=True)]
        for rows in zip(total.high, total.low, strict=True)
    ]


def expected(vectors: np.ndarray) -> list[list[int]]:
    numbers = vectors.astype(object)
    return [[int(value) for value in row] for row in numbers.T @ numbers]


@given(st.integers(0, 10_000), st.integers(0, 41), st.integers(1, 5), st.integers(1, 80))
def test_sums_are_exact_and_the_same_in_any_order_and_batching(seed: int, bits: int, size: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-(2**bits), 2**bits, (count, size), endpoint=True)
    at_once = OuterSum.of(size).plus(vectors)
    assert joined(at_once) == expected(vectors)
    in_pieces = OuterSum.of(size)
    for piece in np.array_split(vectors[rng.permutation(count)], rng.integers(1, count, endpoint=True)):
        in_pieces = in_pieces.plus(piece)
    assert in_pieces.to_bytes() == at_once.to_bytes()
    assert joined(OuterSum.from_bytes(at_once.to_bytes(), size)) == expected(vectors)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("greatest", [GREATEST_INTEGER, 2**40 - 1, 2**31 - 2**15, 2**16 - 1])
def test_the_greatest_numbers_are_summed_exactly_beyond_one_batch_of_blas(greatest: int, sign: int) -> None:
    vectors = np.full((5_000, 3), sign * greatest)
    vectors[:, 1] = -vectors[:, 1]
    assert joined(OuterSum.of(3).plus(vectors)) == expected(vectors)


def test_as_float_the_sum_is_right_to_the_last_digits() -> None:
    vectors = np.random.default_rng(1).integers(-(2**40), 2**40, (100, 4))
    exact = np.array(expected(vectors), dtype=np.float64)
    np.testing.assert_allclose(OuterSum.of(4).plus(vectors).to_float(), exact, rtol=1e-15, atol=1e9)


def test_nothing_is_added_by_no_vectors() -> None:
    total = OuterSum.of(2)
    assert total.plus(np.zeros((0, 2), np.int64)) is total


def test_what_cannot_be_summed_exactly_is_refused() -> None:
    with pytest.raises(ValueError, match=r"vectors must have the shape \(N, 2\), got \(1, 3\)"):
        OuterSum.of(2).plus(np.zeros((1, 3), np.int64))
    with pytest.raises(ValueError, match=r"the numbers must lie within ±2\^41"):
        OuterSum.of(1).plus(np.array([[GREATEST_INTEGER + 1]]))
    with pytest.raises(ValueError, match="the state of a sum has another size"):
        OuterSum.from_bytes(OuterSum.of(2).to_bytes(), 3)
