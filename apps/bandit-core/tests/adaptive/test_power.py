"""The power of the effect condition grows with what it should grow with."""

import numpy as np
import pytest

from bandit_core.adaptive.power import Power, effect_power


def power(*, runs: int = 300, **settings: float) -> Power:
    given = {"rate": 0.1, "lift": 0.2, "floor": 0.1, "decisions": 20_000} | settings
    return effect_power(rng=np.random.default_rng(1), runs=runs, **given)  # type: ignore[arg-type]


def test_more_of_everything_gives_more_power() -> None:
    middle = power()
    assert power(lift=0.1).right < middle.right < power(lift=0.4).right
    assert power(floor=0.01).right < middle.right < power(floor=0.5).right
    assert power(decisions=5_000).right < middle.right < power(decisions=50_000).right
    assert power(rate=0.02).right < middle.right


def test_a_clear_winner_is_found_early() -> None:
    clear = power(lift=1.0)
    assert clear.right > 0.99
    assert clear.median is not None
    assert clear.median < 3_000


def test_without_a_difference_there_is_hardly_a_winner() -> None:
    equal = power(lift=0.0, floor=0.5, runs=1_000)
    assert equal.right + equal.wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1_000)
    assert equal.median is None


def test_more_arms_take_more() -> None:
    assert power(arms=4, floor=0.05, runs=100).right < power(floor=0.05, runs=100).right


def test_too_few_decisions_say_nothing() -> None:
    assert power(decisions=80).right == 0.0


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"lift": 10.0}, {"floor": -1.0}, {"decisions": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        power(**wrong)  # type: ignore[arg-type]
