"""Top-two Thompson sampling: the weights of Russo's algorithm, also where the leader is certain."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betaln, log_expit, logsumexp

from bandit_core.policies.base import Beliefs
from bandit_core.policies.top_two_thompson import RESOLVED, TopTwoThompson

Arm = tuple[float, float]


def beliefs_of(*arms: Arm) -> Beliefs:
    alpha, beta = np.array(arms, dtype=np.float64).T
    return Beliefs(tuple(f"arm-{index}" for index in range(len(arms))), alpha, beta)


def log_prob_beats(challenger: Arm, leader: Arm) -> float:
    """Integrate leader density times challenger survival over the log-odds, in logarithms, on a fine grid."""
    grid, width = np.linspace(-8.0, 3.0, 1_000_001, retstep=True)

    def log_density(alpha: float, beta: float) -> NDArray[np.float64]:
        density: NDArray[np.float64] = alpha * log_expit(grid) + beta * log_expit(-grid) - betaln(alpha, beta)
        return density

    survival = np.logaddexp.accumulate(log_density(*challenger)[::-1])[::-1]
    return float(logsumexp(log_density(*leader)[:-1] + 0.5 * (survival[:-1] + survival[1:])) + 2.0 * np.log(width))


def test_weights_are_the_frequencies_of_the_sampled_algorithm() -> None:
    """Draw a leader; with probability 1 - beta draw again until it is another arm: within 4 standard errors."""
    alpha, beta, share, n_draws = np.array([12.0, 15.0, 6.0]), np.array([100.0, 110.0, 70.0]), 0.6, 200_000
    rng = np.random.default_rng(11)
    first, second = (rng.beta(alpha, beta, size=(n_draws, 3)).argmax(axis=1) for _ in range(2))
    while (same := np.flatnonzero(first == second)).size:
        second[same] = rng.beta(alpha, beta, size=(same.size, 3)).argmax(axis=1)
    chosen = np.where(rng.random(n_draws) < share, first, second)
    frequencies = np.bincount(chosen, minlength=3) / n_draws
    weights = TopTwoThompson(beta=share).propose(Beliefs(("a", "b", "c"), alpha, beta)).weights
    assert (np.abs(frequencies - weights) <= 4.0 * np.sqrt(weights * (1.0 - weights) / n_draws)).all()


def test_two_arms_have_a_closed_form() -> None:
    """With two arms the second draw is the other one: psi_1 = beta P_1 + (1 - beta) P_2."""
    beliefs = beliefs_of((30.0, 70.0), (20.0, 80.0))
    prob_best = beliefs.best_arm.prob_best
    weights = TopTwoThompson(beta=0.7).propose(beliefs).weights
    assert weights == pytest.approx(0.7 * prob_best + 0.3 * prob_best[::-1], abs=1e-12)


def test_with_beta_one_it_is_thompson_sampling() -> None:
    beliefs = beliefs_of((30.0, 70.0), (20.0, 80.0), (25.0, 75.0))
    assert TopTwoThompson(beta=1.0).propose(beliefs).weights == pytest.approx(beliefs.best_arm.prob_best, abs=1e-12)


@pytest.mark.parametrize("evidence", [1e2, 1e3, 1e4, 1e5, 1e6])
def test_a_certain_leader_gets_beta_and_the_challengers_the_rest(evidence: float) -> None:
    """P of the leader is 1 in floating point long before 1e6; the formula would be 0 / 0 there."""
    beliefs = beliefs_of((0.5 * evidence, 0.5 * evidence), (0.2 * evidence, 0.8 * evidence), (10.0, 90.0))
    weights = TopTwoThompson(beta=0.5).propose(beliefs).weights
    assert weights[0] == pytest.approx(0.5, abs=1e-9)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_the_digits_of_one_minus_p_are_kept_as_p_approaches_one() -> None:
    """1 - P computed as such would be off by 1e-5 here, and the leader's weight with it."""
    beliefs = beliefs_of((124.0, 908.0), (41.0, 991.0), (42.0, 990.0))
    assert RESOLVED < beliefs.best_arm.prob_best[1:].sum() < 20.0 * RESOLVED
    assert TopTwoThompson(beta=0.5).propose(beliefs).weights[0] == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize(
    ("leader", "challengers"),
    [
        ((120.0, 880.0), [(30.0, 970.0), (32.0, 968.0)]),
        ((5_000.0, 95_000.0), [(3_900.0, 96_100.0), (45.0, 2_955.0)]),
        ((300.0, 3.0), [(30.0, 70.0), (3.0, 30.0)]),
        ((500.0, 500.0), [(100.0, 900.0), (60.0, 540.0)]),
    ],
)
def test_challengers_of_a_certain_leader_share_like_their_chances_of_beating_it(
    leader: Arm, challengers: list[Arm]
) -> None:
    beliefs = beliefs_of(leader, *challengers)
    assert beliefs.best_arm.prob_best[1:].sum() < RESOLVED
    log_odds = log_prob_beats(challengers[0], leader) - log_prob_beats(challengers[1], leader)
    weights = TopTwoThompson().propose(beliefs).weights
    assert np.log(weights[1] / weights[2]) == pytest.approx(log_odds, abs=0.05)


def test_weights_do_not_jump_where_the_limit_takes_over() -> None:
    """As evidence grows in small steps, the challengers' odds follow one smooth line across the switch."""
    growing = [beliefs_of((120 * g, 880 * g), (40 * g, 960 * g), (41 * g, 959 * g)) for g in np.linspace(0.9, 1.2, 61)]
    resolved = [bool(beliefs.best_arm.prob_best[1:].sum() >= RESOLVED) for beliefs in growing]
    assert resolved[0]
    assert not resolved[-1]
    weights = np.array([TopTwoThompson().propose(beliefs).weights for beliefs in growing])
    log_odds = np.log(weights[:, 2] / weights[:, 1])
    assert np.abs(np.diff(log_odds, n=2)).max() < 0.002


@pytest.mark.parametrize("beta", [0.0, -0.1, 1.1, float("nan")])
def test_beta_must_be_a_share(beta: float) -> None:
    with pytest.raises(ValueError, match="top_two_thompson: beta must be a finite number above 0 and at most 1"):
        TopTwoThompson(beta=beta)
