"""Checks of configured numbers: the error names the parameter, its range and what was given."""

import pytest

from bandit_core.checks import check_number, check_whole


@pytest.mark.parametrize("value", [0, 0.5, 1.0])
def test_numbers_in_range_pass(value: float) -> None:
    check_number("share", value, low=0.0, high=1.0)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), "0.5", None, True])
def test_anything_else_is_refused_by_name(value: object) -> None:
    with pytest.raises(ValueError, match=r"share must be a finite number of at least 0 and at most 1, got"):
        check_number("share", value, low=0.0, high=1.0)


def test_an_exclusive_limit_is_refused_itself() -> None:
    with pytest.raises(ValueError, match="step must be a finite number above 0, got 0"):
        check_number("step", 0.0, low=0.0, exclusive=True)


@pytest.mark.parametrize("value", [-1, 1.0, True, "3"])
def test_a_whole_number_is_an_int_and_no_bool(value: object) -> None:
    with pytest.raises(ValueError, match="trials must be a whole number of at least 0, got"):
        check_whole("trials", value, low=0)
