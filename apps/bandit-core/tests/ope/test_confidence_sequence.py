"""The confidence sequence against a plain one by the formulas of its source, and against simulated truth."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from bandit_core.ope.confidence_sequence import confidence_sequence
from bandit_core.ope.logged import LoggedDecisions
from studies.adaptive_simulation import AdaptiveLogs

type PlayThompson = Callable[..., AdaptiveLogs]

MEANS = [0.1, 0.15, 0.3]
UNIFORM, BEST = np.full(3, 1 / 3), np.array([0.0, 0.0, 1.0])


def plain_lower(log: LoggedDecisions, rewards: np.ndarray, pi: np.ndarray, floor: float, delay: int) -> list[float]:
    """The lower sequence at the level 0.975, decision by decision and candidate by candidate, on a grid of 0.01."""
    error, candidates = 0.025, np.arange(1, 101) / 100
    capital, alive, bound = np.ones(100), np.ones(100, dtype=bool), 0.0
    outcomes: list[float] = []
    bounds = []
    for t in range(len(log)):
        known = max(t - delay, 0)
        seen = slice(0, known)
        overall = (0.5 + rewards[seen].sum()) / (1 + known)
        q = np.array(
            [
                (overall + rewards[seen][log.arms[seen] == arm].sum()) / (1 + (log.arms[seen] == arm).sum())
                for arm in range(log.n_arms)
            ]
        )
        arm, shift = log.arms[t], max(q * pi / floor)
        outcome = pi[arm] / log.propensities[t] * (rewards[t] - q[arm]) + pi @ q
        squares = 0.25
        for i in range(known):
            squares += (outcomes[i] - min(np.mean(outcomes[: i + 1]), 1.0)) ** 2
        variance = squares / (known + 1)
        bet = math.sqrt(2 * math.log(1 / error) / (variance * (t + 1) * math.log(t + 2)))
        capital *= 1 + np.minimum(bet, 0.5 / (shift + candidates)) * (outcome - candidates)
        assert outcome >= -shift
        outcomes.append(outcome)
        alive &= capital < 1 / error
        bound = max([bound, *candidates[~alive]])
        bounds.append(bound)
    return bounds


@pytest.mark.parametrize("delay", [0, 30])
@pytest.mark.parametrize("target", [UNIFORM, BEST])
def test_the_compiled_bets_are_those_of_the_paper(play_thompson: PlayThompson, target: np.ndarray, delay: int) -> None:
    log = play_thompson(MEANS, decisions=250, runs=1, seed=2).log(0)
    known = np.maximum(np.arange(250) - delay, 0)
    found = confidence_sequence(log, target, least_propensity=0.05, resolved_before=known, resolution=0.01)
    np.testing.assert_allclose(found.lower, plain_lower(log, log.rewards, target, 0.05, delay), atol=1e-12)
    np.testing.assert_allclose(found.upper, 1 - np.array(plain_lower(log, 1 - log.rewards, target, 0.05, delay)))
    assert found.upper[-1] - found.lower[-1] < 0.7


@pytest.mark.parametrize("least", ["none", "floor", "weights"])
def test_it_holds_the_value_at_all_times(play_thompson: PlayThompson, least: str) -> None:
    """Of 150 experiments at the level 0.95 more than 20 misses have a probability of 3e-5 at most."""
    logs = play_thompson(MEANS, decisions=600, runs=150, seed=3)
    misses = 0
    for run in range(150):
        given = {"none": None, "floor": 0.05, "weights": logs.logging(run)}[least]
        found = confidence_sequence(logs.log(run), UNIFORM, least_propensity=given, resolution=1e-3)
        misses += not found.contains(float(np.mean(MEANS)))
    assert misses <= 20


def test_more_decisions_and_better_knowledge_narrow_it(play_thompson: PlayThompson) -> None:
    logs = play_thompson(MEANS, decisions=6_000, runs=1, seed=4)
    log = logs.log(0)
    plain = confidence_sequence(log, BEST)
    floored = confidence_sequence(log, BEST, least_propensity=0.05)
    known = confidence_sequence(log, BEST, least_propensity=logs.logging(0))
    assert floored.interval.width < plain.interval.width
    assert known.after(500).width < floored.after(500).width
    assert (np.diff(known.lower) >= 0).all()
    assert (np.diff(known.upper) <= 0).all()
    assert known.interval.width < known.after(1_000).width / 1.5
    assert known.interval.kind == "confidence sequence"


def test_a_finer_grid_only_rounds_less(play_thompson: PlayThompson) -> None:
    log = play_thompson(MEANS, decisions=800, runs=1, seed=5).log(0)
    coarse = confidence_sequence(log, UNIFORM, least_propensity=0.05, resolution=1e-2)
    fine = confidence_sequence(log, UNIFORM, least_propensity=0.05, resolution=1e-4)
    for wide, narrow in [(coarse.lower, fine.lower), (1 - coarse.upper, 1 - fine.upper)]:
        assert (narrow >= wide - 1e-12).all()
        assert (narrow <= wide + 1e-2).all()


def test_rewards_not_yet_known_change_neither_bets_nor_the_model(play_thompson: PlayThompson) -> None:
    """Up to the last decision itself, bounds depend on rewards only through outcomes already there."""
    log = play_thompson(MEANS, decisions=300, runs=1, seed=6).log(0)
    changed = log.rewards.copy()
    changed[200:] = 1 - changed[200:]
    other = LoggedDecisions(log.arms, changed, log.propensities, 3, adaptive=True)
    before, after = (confidence_sequence(each, UNIFORM, least_propensity=0.05) for each in (log, other))
    np.testing.assert_array_equal(before.lower[:200], after.lower[:200])
    np.testing.assert_array_equal(before.upper[:200], after.upper[:200])


def test_positions_have_their_own_policy_and_model() -> None:
    """Two positions with opposite arms: the target that plays the good arm in each is worth 0.8."""
    rng = np.random.default_rng(7)
    positions, arms = rng.integers(0, 2, 4_000), rng.integers(0, 2, 4_000)
    rewards = (rng.random(4_000) < np.array([[0.8, 0.2], [0.2, 0.8]])[positions, arms]).astype(np.float64)
    log = LoggedDecisions(arms, rewards, np.full(4_000, 0.5), 2, positions=positions, n_positions=2)
    found = confidence_sequence(log, np.eye(2), least_propensity=0.5)
    assert found.contains(0.8)
    assert found.interval.width < 0.1


def test_a_value_that_changes_along_the_log_is_noticed() -> None:
    rewards = np.repeat([0.0, 1.0], 2_000)
    log = LoggedDecisions(np.zeros(4_000, dtype=np.int64), rewards, np.ones(4_000), 1)
    found = confidence_sequence(log, [1.0], least_propensity=1.0)
    assert found.after(2_000).high < 0.1
    with pytest.raises(ValueError, match="have probably changed along the log"):
        _ = found.interval
    with pytest.raises(ValueError, match="not after 0"):
        found.after(0)


def test_what_it_cannot_do_is_refused(play_thompson: PlayThompson) -> None:
    log = play_thompson(MEANS, decisions=50, runs=1, seed=8).log(0)
    with pytest.raises(ValueError, match=r"is below its least_propensity 0\.5"):
        confidence_sequence(log, UNIFORM, least_propensity=0.5)
    with pytest.raises(ValueError, match="must be above 0 for every arm the target plays"):
        confidence_sequence(log, UNIFORM, least_propensity=[0.05, 0.05, 0.0])
    with pytest.raises(ValueError, match="resolution must lie in"):
        confidence_sequence(log, UNIFORM, resolution=0.0)
    scaled = LoggedDecisions(log.arms, 2 * log.rewards + 1, log.propensities, 3)
    with pytest.raises(ValueError, match=r"rewards in \[0, 1\]"):
        confidence_sequence(scaled, UNIFORM)
