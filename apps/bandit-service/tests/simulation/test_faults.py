"""The simulation finds what it is for: faults of the first designs, put back into a copy of the product."""

from __future__ import annotations

from pathlib import Path

import pytest

from .put_back import find, names

MOST_SCHEDULES = 2_000
# Three ranges of seeds that do not meet.
RANGES = (0, 100_000, 200_000)


def test_there_are_ten_faults() -> None:
    assert len(names()) == 10


@pytest.mark.parametrize("name", names())
def test_a_fault_that_is_put_back_is_found(name: str, tmp_path: Path) -> None:
    assert find(name, tmp_path, seed=RANGES[0], count=MOST_SCHEDULES)


@pytest.mark.verify
@pytest.mark.parametrize("seed", RANGES)
@pytest.mark.parametrize("name", names())
def test_a_fault_that_is_put_back_is_found_from_any_seed(name: str, seed: int, tmp_path: Path) -> None:
    assert find(name, tmp_path, seed=seed, count=MOST_SCHEDULES)
