"""Which Student t mean is the highest: against a dense rule, 30-digit integrals, closed forms and known cases."""

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_ndtr, stdtr, stdtrit

from bandit_core.gaussian import GaussianBeliefs, GaussianPrior
from bandit_core.policies import make_policy
from bandit_core.t_arms import TArms

type Array = NDArray[np.float64]

mp.mp.dps = 30


def t_arms(mean: list[float], scale: list[float], freedom: list[float]) -> TArms:
    return TArms(np.array(mean, dtype=np.float64), np.array(scale), np.array(freedom))


def dense(arms: TArms) -> tuple[Array, Array]:
    """P(best) and expected loss by panels between many quantiles of every arm, each arm's product by itself."""
    mean, scale, freedom = (each[:, None] for each in (arms.mean, arms.scale, arms.freedom))
    tails, middle = stdtrit(freedom, 10.0 ** np.arange(-120.0, -1.0, 0.25)), np.linspace(0.08, 0.92, 41)
    cuts = np.unique((mean + scale * np.hstack([tails, stdtrit(freedom, middle), -tails])).ravel())
    gauss, gauss_weights = np.polynomial.legendre.leggauss(24)
    width = np.diff(cuts)[:, None]
    z = ((cuts[:-1, None] + width * (gauss + 1.0) / 2.0).ravel() - mean) / scale
    weights = (width * gauss_weights / 2.0).ravel()
    constant = [float(mp.loggamma((mp.mpf(each) + 1) / 2) - mp.loggamma(mp.mpf(each) / 2)) for each in arms.freedom]
    log_density = np.array(constant)[:, None] - 0.5 * np.log(freedom * np.pi) - np.log(scale)
    density = np.exp(log_density - (freedom + 1.0) / 2.0 * np.log1p(z * z / freedom))
    cdf, survival = stdtr(freedom, z), stdtr(freedom, -z)
    log_cdf = np.where(survival < 0.5, np.log1p(-np.minimum(survival, 0.5)), np.log(np.maximum(cdf, 1e-300)))
    others = [np.delete(log_cdf, arm, axis=0).sum(axis=0) for arm in range(len(mean))]
    chance = [(density[arm] * np.exp(others[arm])) @ weights for arm in range(len(mean))]
    loss = [(cdf[arm] * -np.expm1(others[arm])) @ weights for arm in range(len(mean))]
    return np.array(chance), np.array(loss)


@pytest.mark.parametrize(("count", "cases"), [(2, 8), (3, 4), (8, 1)])
def test_the_error_is_what_the_docstring_says(count: int, cases: int) -> None:
    """Freedom from 1.1 to 1e6 and ratios of scales up to 1,000."""
    rng = np.random.default_rng(count)
    for _ in range(cases):
        ratio, most = rng.choice([1.0, 10.0, 1_000.0]), rng.choice([3.0, 1e3, 1e6])
        arms = TArms(
            rng.normal(size=count) * rng.choice([0.0, 0.1, 1.0, 5.0]),
            np.exp(-rng.uniform(0.0, np.log(ratio), count)),
            1.0 + np.exp(rng.uniform(np.log(0.1), np.log(most), count)),
        )
        chance, loss = dense(arms)
        result = arms.best_arm()
        span = float(np.ptp(arms.mean) + arms.scale.max())
        np.testing.assert_allclose(result.prob_best, chance, rtol=0.0, atol=5e-13)
        np.testing.assert_allclose(result.expected_loss, loss, rtol=2e-11, atol=1e-13 * span)


@pytest.mark.parametrize(
    ("freedom", "truth"),
    [
        (1.02, 32.157853195799994),
        (1.1, 6.721832848328174),
        (1.2, 3.5658757160191255),
        (1.5, 1.70631936768409),
        (2.0, 1.1107207345395915),
        (3.0, 0.826993343132688),
        (10.0, 0.6199455806461799),
    ],
)
def test_heavy_tails_count_in_the_expected_loss(freedom: float, truth: float) -> None:
    """E[(X₂ − X₁)⁺] = 2 ∫ S (1 − S) over x > 0, integrated with 20 digits, for two arms alike."""
    assert t_arms([0.0, 0.0], [1.0, 1.0], [freedom] * 2).best_arm().expected_loss == pytest.approx(
        [truth] * 2, rel=1e-10
    )


def test_a_narrow_arm_between_wide_and_equal_ones() -> None:
    chances = t_arms([0.0, 1e-4, 0.0], [1e-6, 1e-6, 1e6], [50.0] * 3).best_arm().prob_best
    assert chances == pytest.approx([0.0, 0.5, 0.5], abs=1e-9)


@pytest.mark.parametrize(
    ("mean", "scale", "freedom", "truth"),
    [
        ([10.0, 9.0, 6.0], [0.01, 0.01, 0.05], [2_000.0, 2_000.0, 12.0], [-1612.6452128962553, -39.867031458307544]),
        ([10.0, 9.0, 8.0], [0.01, 0.02, 0.03], [2_000.0, 200.0, 12.0], [-262.0447764245987, -37.68230259630826]),
        ([0.0, -1.0, -3.0], [0.1, 0.1, 0.1], [30.0, 10.0, 5.0], [-13.477660476375219, -14.749769569253527]),
        ([0.0, -1.0, -40.0], [1.0, 1.0, 1.0], [30.0, 100.0, 1.5], [-1.414592548028888, -6.507848868145648]),
    ],
)
def test_the_chance_to_exceed_the_leader(
    mean: list[float], scale: list[float], freedom: list[float], truth: list[float]
) -> None:
    """Against ∫ S_i f_leader, integrated by mpmath's `quad` with 30 digits and scipy's functions nowhere."""
    assert t_arms(mean, scale, freedom).log_prob_exceeds(0) == pytest.approx([np.log(0.5), *truth], rel=1e-9)


def test_nearly_normal_means_agree_with_normal_ones() -> None:
    """P(X > Y) = Φ(−gap / √2) for unit normal X and Y."""
    for gap in (5.0, 20.0):
        found = t_arms([0.0, -gap], [1.0, 1.0], [1e10, 1e10]).log_prob_exceeds(0)[1]
        assert found == pytest.approx(float(log_ndtr(-gap / np.sqrt(2.0))), rel=1e-6)


@pytest.mark.parametrize(
    ("mean", "scale", "freedom"),
    [
        ([10.0, 9.0, 6.0], [0.01, 0.01, 0.05], [2_000.0, 2_000.0, 12.0]),
        ([10.0, 9.0, 8.0], [0.01, 0.02, 0.03], [2_000.0, 200.0, 12.0]),
    ],
)
def test_the_heavier_tail_is_the_challenger(mean: list[float], scale: list[float], freedom: list[float]) -> None:
    """The third arm's chance to beat the leader is some e^−40, the second's at most e^−260."""
    beliefs = GaussianBeliefs(("a", "b", "c"), np.array(mean), np.array(scale), np.array(freedom))
    weights = make_policy("top_two_thompson").propose(beliefs).weights
    assert weights == pytest.approx([0.5, 0.0, 0.5], abs=1e-12)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_few_rewards_in_any_unit(unit: float) -> None:
    """Three rewards, three that are equal, and one: against the dense rule."""
    rewards = [unit * np.array(each) for each in ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], [5.0])]
    count, total, squares = ([f(each) for each in rewards] for f in (len, np.sum, lambda each: np.sum(each**2)))
    prior = GaussianPrior(mean=0.0, strength=1.0, shape=1.0, scale=unit**2)
    beliefs = GaussianBeliefs.of(("a", "b", "c"), prior, count, total, squares)
    chance, loss = dense(TArms(beliefs.mean / unit, beliefs.scale / unit, beliefs.freedom))
    np.testing.assert_allclose(beliefs.best_arm.prob_best, chance, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(beliefs.best_arm.expected_loss, unit * loss, rtol=1e-10)


@pytest.mark.parametrize(("count", "draws"), [(2, 100_000), (50, 50_000), (200, 10_000)])
def test_scales_over_nine_decades_match_simulation(count: int, draws: int) -> None:
    """Within 4 standard errors, for every arm that is likely enough to be drawn some times."""
    rng = np.random.default_rng(0)
    mean, scale = rng.normal(size=count), 10.0 ** rng.uniform(-6.0, 3.0, count)
    freedom = rng.uniform(1.5, 2_000.0, count)
    chance = t_arms(mean.tolist(), scale.tolist(), freedom.tolist()).best_arm().prob_best
    drawn = mean + scale * rng.standard_t(freedom, (draws, count))
    wins = np.bincount(drawn.argmax(axis=1), minlength=count) / draws
    likely = chance > 1e-3
    std_error = np.sqrt(chance * (1.0 - chance) / draws)[likely]
    assert (np.abs(wins - chance)[likely] <= 4.0 * std_error).all()
    assert chance.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_single_arm_is_the_best_and_costs_nothing() -> None:
    result = t_arms([1.0], [2.0], [3.0]).best_arm()
    assert (result.prob_best.tolist(), result.expected_loss.tolist()) == ([1.0], [0.0])
