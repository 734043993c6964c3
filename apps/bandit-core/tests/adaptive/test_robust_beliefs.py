"""Time-robust beliefs: the exact posteriors while weights stand still, least squares once they move."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.robust_beliefs import RATE_SPREAD, VALUE_SPREAD, rate_beliefs, value_beliefs
from bandit_core.gaussian import GaussianBeliefs, GaussianPrior
from bandit_core.policies import make_policy, policy_names
from bandit_core.stopping import StoppingRule

type Array = NDArray[np.float64]

FLAT = np.ones((2, 2))
ARMS = ("a", "b", "c", "d")


def moving(seed: int, arms: int = 4, versions: int = 30, size: int = 200) -> tuple[Array, Array, Array]:
    """Return weights, counts and successes of versions whose rates and weights move."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(arms, 2.0), versions)
    count = rng.multinomial(size, weights).astype(np.float64)
    rates = np.linspace(0.1, 0.3, versions)[:, None] * np.linspace(1.0, 1.3, arms)
    return weights, count, rng.binomial(count.astype(np.int64), rates).astype(np.float64)


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=9),
    st.floats(0.05, 0.95),
    st.integers(0, 2**32 - 1),
)
def test_without_moves_they_are_exact(counts: list[tuple[int, int]], share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = np.array(counts, dtype=np.float64)
    won = rng.binomial(count.astype(np.int64), 0.2).astype(np.float64)
    sums = PairSums.of_versions(np.tile([share, 1.0 - share], (len(count), 1)), count, won, won)
    beliefs = rate_beliefs(("a", "b"), sums, [[2.0, 3.0], [1.0, 1.0]])
    np.testing.assert_allclose(beliefs.alpha, np.array([2.0, 1.0]) + won.sum(axis=0))
    np.testing.assert_allclose(beliefs.beta, np.array([3.0, 1.0]) + (count - won).sum(axis=0))


def test_without_moves_means_are_exact_too() -> None:
    rng, prior = np.random.default_rng(2), GaussianPrior(mean=1.0, strength=2.0)
    rewards = [rng.normal(2.0, 3.0, size) for size in (40, 70)]
    columns = np.array([[len(each), each.sum(), (each**2).sum()] for each in rewards]).T
    beliefs = value_beliefs(("a", "b"), PairSums.of([0.4, 0.6], *columns), prior)
    exact = GaussianBeliefs.of(("a", "b"), prior, *columns)
    for ours, theirs in ((beliefs.mean, exact.mean), (beliefs.scale, exact.scale), (beliefs.freedom, exact.freedom)):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("seed", range(3))
def test_differences_are_those_of_least_squares(seed: int) -> None:
    """Bayesian linear regression with a dummy for each arm, every decision a row centred on its version's weights."""
    weights, count, won = moving(seed)
    sums = PairSums.of_versions(weights, count, won, won)
    beliefs = rate_beliefs(ARMS, sums, np.ones((4, 2)))
    rows = np.repeat(np.arange(len(weights)), 200)
    arm = np.concatenate([np.repeat(np.arange(4), each.astype(np.int64)) for each in count])
    reward = np.concatenate(
        [
            np.repeat([1.0, 0.0] * 4, [int(k) for n, s in zip(*of, strict=True) for k in (s, n - s)])
            for of in zip(count, won, strict=True)
        ]
    )
    q = weights[:, :, None] + weights[:, None, :]
    overlap = weights[:, None, :] / q * ~np.eye(4, dtype=np.bool_)
    level = ((overlap * won[:, :, None]).sum() / 3 + 0.5) / ((overlap * count[:, :, None]).sum() / 3 + 1.0)
    centred = np.eye(4)[arm] - weights[rows]
    expected = sum(200 * (np.diag(w) - np.outer(w, w)) for w in weights) + 8 * (np.eye(4) / 4 - 1 / 16)
    sigma2, tau2 = level * (1 - level), (RATE_SPREAD * level) ** 2
    precision = expected / sigma2 + 2.0 / tau2 * np.eye(4)
    theta = np.linalg.solve(precision, centred.T @ (reward - level) / sigma2)
    differences = beliefs.mean[:, None] - beliefs.mean
    np.testing.assert_allclose(differences, theta[:, None] - theta, atol=1e-8)
    covariance = np.linalg.inv(precision)
    variance = beliefs.alpha * beliefs.beta / (beliefs.alpha + beliefs.beta) ** 2 / (beliefs.alpha + beliefs.beta + 1)
    own = np.diag(covariance)
    wanted = own[:, None] + own - 2 * covariance
    others = ~np.eye(4, dtype=np.bool_)
    np.testing.assert_allclose((variance[:, None] + variance)[others], wanted[others], rtol=0.05)


def test_two_arms_have_the_variance_of_their_difference() -> None:
    weights, count, won = moving(5, arms=2)
    sums = PairSums.of_versions(weights, count, won, won)
    beliefs = rate_beliefs(("a", "b"), sums, FLAT)
    information = (200 * weights.prod(axis=1)).sum() + 1.0
    level = (sums.qr.sum() + 0.5) / (sums.q.sum() + 1.0)
    likelihood, prior = level * (1.0 - level) / information, (RATE_SPREAD * level) ** 2
    strength = beliefs.alpha + beliefs.beta
    variance = beliefs.mean * (1.0 - beliefs.mean) / (strength + 1.0)
    assert variance.sum() == pytest.approx(1.0 / (1.0 / likelihood + 1.0 / prior), rel=1e-9)


def test_a_level_that_moves_with_the_weights_names_no_winner() -> None:
    """Both arms .05, then both .15 with most traffic on the first: pooled beliefs are over 99.99% sure of it."""
    sums = PairSums.of_versions(
        [[0.5, 0.5], [0.95, 0.05]], [[2_000, 2_000], [3_800, 200]], [[100, 100], [570, 30]], [[100, 100], [570, 30]]
    )
    beliefs = rate_beliefs(("a", "b"), sums, FLAT)
    assert beliefs.best_arm.prob_best == pytest.approx([0.5, 0.5], abs=0.02)
    verdict = StoppingRule(min_decisions=2_000).evaluate(beliefs, {"a": 5_800, "b": 2_200}, 0.0)
    assert verdict.outcome == "undecided"


def test_informative_priors_count() -> None:
    weights, count, won = moving(6, arms=2, versions=4, size=20)
    sums = PairSums.of_versions(weights, count, won, won)
    convinced = rate_beliefs(("a", "b"), sums, [[900.0, 9_100.0], [1_100.0, 8_900.0]])
    assert convinced.best_arm.prob_best[1] > 0.99


def test_only_active_arms_are_believed_in() -> None:
    weights, count, won = moving(7)
    sums = PairSums.of_versions(weights, count, won, won)
    active = np.array([True, False, True, True])
    all_arms, some = rate_beliefs(ARMS, sums, np.ones((4, 2))), rate_beliefs(ARMS, sums, np.ones((4, 2)), active=active)
    assert some.arms == ("a", "c", "d")
    np.testing.assert_allclose(some.mean, all_arms.mean[active], rtol=1e-9)
    alone = rate_beliefs(ARMS, sums, np.ones((4, 2)), active=np.array([False, True, False, False]))
    assert alone.alpha[0] == 1.0 + won[:, 1].sum()


def test_an_arm_that_left_moves_nothing() -> None:
    """The third arm leaves; the other two keep their ratio, so their pooled rewards compare as before."""
    weights, count = [[0.4, 0.4, 0.2], [0.5, 0.5, 0.0]], [[40, 38, 22], [51, 49, 0]]
    sums = PairSums.of_versions(weights, count, [[4, 6, 1], [9, 7, 0]], [[4, 6, 1], [9, 7, 0]])
    beliefs = rate_beliefs(("a", "b", "c"), sums, np.ones((3, 2)), active=np.array([True, True, False]))
    assert beliefs.alpha.tolist() == [14.0, 14.0]
    assert sums.has_moved


def test_a_new_arm_starts_near_the_level() -> None:
    weights, count, won = moving(8, arms=3)
    weights, count, won = (np.pad(each, [(0, 0), (0, 1)]) for each in (weights, count, won))
    weights = np.vstack([weights, [0.3, 0.3, 0.3, 0.1]])
    count, won = np.vstack([count, [3.0, 3.0, 3.0, 1.0]]), np.vstack([won, [0.0, 1.0, 0.0, 0.0]])
    beliefs = rate_beliefs(ARMS, PairSums.of_versions(weights, count, won, won), np.ones((4, 2)))
    assert abs(beliefs.mean[3] - beliefs.mean[:3].mean()) < 0.05
    assert beliefs.alpha[3] + beliefs.beta[3] < 0.1 * (beliefs.alpha[0] + beliefs.beta[0])


def test_a_design_effect_divides_what_is_known() -> None:
    weights, count, won = moving(9, arms=2)
    plain, fewer = (PairSums.of_versions(weights, each * count, each * won, each * won) for each in (1.0, 0.25))
    blown_up = rate_beliefs(("a", "b"), plain, FLAT, design_effect=4.0)
    wanted = rate_beliefs(("a", "b"), fewer, FLAT)
    np.testing.assert_allclose(blown_up.mean, wanted.mean, atol=1e-3)
    np.testing.assert_allclose(blown_up.alpha + blown_up.beta, wanted.alpha + wanted.beta, rtol=0.02)


@pytest.mark.parametrize("rate", [0.1, 0.9])
def test_success_and_failure_may_change_names(rate: float) -> None:
    weights, count, won = moving(10, arms=2)
    won = np.round(won * rate / 0.2).clip(0, count)
    sums, mirrored = (PairSums.of_versions(weights, count, each, each) for each in (won, count - won))
    beliefs, other = rate_beliefs(("a", "b"), sums, FLAT), rate_beliefs(("a", "b"), mirrored, FLAT)
    np.testing.assert_allclose(beliefs.alpha, other.beta, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_values_are_compared_like_rates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, count, _ = moving(seed, arms=3)
    levels = np.linspace(-5.0, 5.0, len(weights))
    total, squares = np.zeros_like(count), np.zeros_like(count)
    for v in range(len(weights)):
        for arm in range(3):
            drawn = rng.normal(levels[v] + 0.4 * arm, 2.0, int(count[v, arm]))
            total[v, arm], squares[v, arm] = drawn.sum(), (drawn**2).sum()
    beliefs = value_beliefs(("a", "b", "c"), PairSums.of_versions(weights, count, total, squares), GaussianPrior())
    spread = 2.0 * np.hypot(1.0, np.std(levels) / 2.0)
    error = (beliefs.mean[:, None] - beliefs.mean) - 0.4 * (np.arange(3)[:, None] - np.arange(3))
    assert np.abs(error).max() < 4 * spread * np.sqrt(2 * 3 / count.sum())
    assert (beliefs.scale < VALUE_SPREAD * spread).all()
    assert beliefs.freedom[0] > 5_000


@pytest.mark.parametrize("name", [each for each in policy_names() if each != "fixed"])
def test_every_policy_takes_them(name: str) -> None:
    weights, count, won = moving(11)
    sums = PairSums.of_versions(weights, count, won, won)
    for beliefs in (rate_beliefs(ARMS, sums, np.ones((4, 2))), value_beliefs(ARMS, sums, GaussianPrior())):
        proposed = make_policy(name).propose(beliefs).weights
        assert proposed.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("rate_of_worst", "scale"), [(0.0, 1.0), (1.0, 1.0), (0.0, 0.001)])
def test_arms_that_never_or_always_succeed(rate_of_worst: float, scale: float) -> None:
    weights, count, won = moving(12, arms=3)
    won = np.round(won * scale)
    won[:, 0] = rate_of_worst * count[:, 0]
    beliefs = rate_beliefs(("a", "b", "c"), PairSums.of_versions(weights, count, won, won), np.ones((3, 2)))
    assert np.isfinite(beliefs.best_arm.prob_best).all()
    if scale == 1.0:
        assert int(beliefs.mean.argmin() if rate_of_worst == 0.0 else beliefs.mean.argmax()) == 0


def test_shapes_that_do_not_fit_are_refused() -> None:
    sums = PairSums.of([0.5, 0.5], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="3 arms"):
        rate_beliefs(("a", "b", "c"), sums, np.ones((3, 2)))
    with pytest.raises(ValueError, match="active"):
        rate_beliefs(("a", "b"), sums, FLAT, active=np.array([True]))
    with pytest.raises(ValueError, match="design_effect"):
        rate_beliefs(("a", "b"), sums, FLAT, design_effect=0.5)
