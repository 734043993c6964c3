"""Arms whose rewards move, in small: what pools is misled, what compares within versions is not."""

import numpy as np
import pytest

from bandit_core.adaptive.power import effect_power
from bandit_core.guardrails import project
from studies.changes import alarms
from studies.effect_sequences import sequences
from studies.holdout_shares import false_lifts
from studies.late_failures import Lateness, late_failures
from studies.moving_values import value_winners
from studies.moving_winners import ratio, winners
from studies.moving_worlds import MOVEMENTS, Design, Movement, World, floored, normal_prob_best_of, play, prob_best
from studies.returning_units import Visits, repetition

RUNS = 300
QUICK = Design(exact=False)


def bound(share: float, runs: int) -> float:
    """Return a share plus three standard errors."""
    return share + 3.0 * float(np.sqrt(share * (1.0 - share) / runs))


@pytest.mark.parametrize("world", MOVEMENTS)
def test_the_better_arm_is_announced(world: Movement) -> None:
    found = winners(World(world), QUICK, decisions=20_000, runs=RUNS, best=1, rng=np.random.default_rng(1))
    assert found.wrong <= bound(0.07, RUNS)
    assert found.right >= 0.70 - 3 * np.sqrt(0.7 * 0.3 / RUNS)


def test_pooling_is_misled_by_a_rise() -> None:
    pooled = Design("pooled", exact=False)
    found = winners(World("rise"), pooled, decisions=20_000, runs=RUNS, best=1, rng=np.random.default_rng(1))
    assert found.wrong > 0.13


def test_the_normal_shortcut_is_close_to_the_beliefs() -> None:
    """It is what makes long studies quick; their winners are those of the exact P(best) in all but a few runs."""
    [*_, look] = play(World("rise"), QUICK, decisions=3_000, runs=100, rng=np.random.default_rng(2))
    exact = prob_best(look.learnt, np.ones((2, 2)), Design())
    assert np.abs(exact - look.prob_best).max() < 0.02
    four = np.array([[20.0, 30.0, 25.0, 40.0]]), np.array([[180.0, 200.0, 190.0, 230.0]])
    assert normal_prob_best_of(*four).sum() == pytest.approx(1.0)


def test_floors_are_those_of_the_guardrails() -> None:
    weights = np.random.default_rng(3).dirichlet([0.3, 0.3, 0.3, 2.0], 50)
    wanted = [project(each, 0.05) for each in weights]
    np.testing.assert_allclose(floored(weights, 0.05), wanted, atol=1e-12)
    assert (floored(weights, 0.25) == 0.25).all()


def test_rewards_that_come_late_all_come() -> None:
    late = Design(delay=(0.2, 0.3, 0.5), exact=False)
    looks = list(play(World("static"), late, decisions=1_000, runs=20, rng=np.random.default_rng(4)))
    assert (looks[0].sums.count.sum(axis=1) < 60).all()
    assert (looks[-1].sums.count.sum(axis=1) > 800).all()
    assert (looks[-1].sums.count.sum(axis=1) < 1_000).all()


def test_values_that_rise_are_compared_fairly() -> None:
    robust, pooled = (
        value_winners("rise", 1.0, kind, advantage=0.033, decisions=20_000, runs=RUNS, rng=np.random.default_rng(5))
        for kind in ("time_robust", "pooled")
    )
    assert robust.wrong <= bound(0.07, RUNS) < pooled.wrong


@pytest.mark.parametrize("world", ["static", "rise", "swing"])
def test_equal_arms_have_no_effect(world: Movement) -> None:
    rates = World(world, lift=0.0)
    found = sequences(
        rates, Design(floor=0.05, exact=False), decisions=20_000, runs=RUNS, best=None, rng=np.random.default_rng(6)
    )
    assert found.wrong <= bound(0.05, RUNS)
    assert found.covered >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / RUNS)
    assert found.prob_best > 0.3
    assert found.width < 1.9


def test_the_power_is_that_of_experiments() -> None:
    design = Design(floor=0.1, exact=False)
    played = sequences(
        World("static", lift=0.2), design, decisions=20_000, runs=RUNS, best=1, rng=np.random.default_rng(7)
    )
    told = effect_power(rate=0.1, lift=0.2, floor=0.1, decisions=20_000, rng=np.random.default_rng(7))
    assert told.right == pytest.approx(played.right, abs=0.1)


def test_a_half_life_follows_a_swap() -> None:
    remembering, forgetting = (
        winners(World("swap"), design, decisions=20_000, runs=100, best=None, rng=np.random.default_rng(8)).regret
        for design in (QUICK, Design(half_life=2_500, exact=False))
    )
    value, error = ratio(forgetting, remembering)
    assert value + 2 * error < 0.8


@pytest.mark.parametrize("spread", [False, True])
def test_the_design_effect_keeps_equal_arms_equal(*, spread: bool) -> None:
    found = repetition(Visits(spread=spread), decisions=10_000, runs=100, rng=np.random.default_rng(9))
    assert found.effect_corrected <= bound(0.05, 100)
    assert found.prob_best > found.prob_best_corrected
    assert 1.5 < found.design_effect < 3.5


def test_failures_that_come_later_are_found() -> None:
    """Pooled over whatever has come, a slower arm looks worse; closed decisions say which one is better."""
    late = Lateness(5_000, paces=(0.5, 1.5))
    today = late_failures(
        (0.1, 0.11), late, "ignore", decisions=20_000, runs=100, rng=np.random.default_rng(10), beliefs="pooled"
    )
    closed = late_failures((0.1, 0.11), late, "closed", decisions=20_000, runs=100, rng=np.random.default_rng(10))
    assert today.found == closed.found == 1.0
    assert closed.second > today.second
    assert closed.first < 0.5 * today.first


def test_open_decisions_speed_up_a_newcomer() -> None:
    regrets = [
        late_failures(
            (0.05, 0.1), Lateness(5_000), counting, decisions=10_000, runs=50, rng=np.random.default_rng(11)
        ).regret.mean()
        for counting in ("share", "closed")
    ]
    assert regrets[0] < 0.5 * regrets[1]


def test_a_level_that_moves_is_no_change() -> None:
    design = Design(floor=0.05, exact=False)
    moving = alarms(World("swing"), design, decisions=20_000, runs=100, rng=np.random.default_rng(12))
    assert moving.change <= 0.05
    assert moving.disagreement > 0.3
    still = alarms(World("static"), design, decisions=20_000, runs=100, rng=np.random.default_rng(12))
    assert still.disagreement <= 0.05


def test_a_larger_holdout_is_no_lift() -> None:
    found = false_lifts((0.1, 0.5), (0.1, 0.14), size=5_000, runs=1_000, rng=np.random.default_rng(13))
    assert found.pooled > 0.6
    assert found.overlap <= bound(0.06, 1_000)
    assert found.sequence <= 0.05
