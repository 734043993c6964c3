import pytest

from bandit_core.ope.result import ConfidenceInterval, OPEResult


def test_a_result_prints_in_one_line() -> None:
    result = OPEResult("snipw", 0.0041237, 0.00071, n=10_000, ess=812.34, coverage=1.0, warnings=("few clicks",))
    line = "OPEResult(method='snipw', estimate=0.0041237, std_error=0.00071, ess=812.3, coverage=1.000)"
    assert str(result) == repr(result) == line


def test_a_result_is_one_flat_row_of_a_table() -> None:
    interval = ConfidenceInterval(0.1, 0.3, level=0.9, kind="normal")
    row = OPEResult("ipw", 0.2, 0.05, n=10, ess=5.0, coverage=0.5, interval=interval, warnings=("a", "b")).to_dict()
    assert row["warnings"] == "a; b"
    assert (row["low"], row["high"], row["level"], row["interval"]) == (0.1, 0.3, 0.9, "normal")
    assert OPEResult("ipw", 0.2, 0.05, n=10, ess=5.0, coverage=0.5).to_dict()["low"] is None


def test_an_interval_knows_what_it_contains() -> None:
    interval = ConfidenceInterval(0.1, 0.3, level=0.95, kind="normal")
    assert interval.contains(0.1)
    assert not interval.contains(0.31)
    assert interval.width == pytest.approx(0.2)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        ConfidenceInterval(0.0, 1.0, level=level, kind="normal")


def test_an_interval_runs_from_low_to_high() -> None:
    with pytest.raises(ValueError, match="low <= high"):
        ConfidenceInterval(0.3, 0.1, level=0.95, kind="normal")
