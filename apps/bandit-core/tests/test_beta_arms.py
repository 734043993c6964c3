"""Beta arms on the logit axis: agreement with scipy's beta distribution, and meshes that miss nothing."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, expit

from bandit_core.beta_arms import TAIL, BetaArms, on_shared_mesh

type Array = NDArray[np.float64]

parameters = st.floats(np.log(0.05), np.log(1e6)).map(lambda logarithm: float(np.exp(logarithm)))
sets_of_arms = st.lists(st.tuples(parameters, parameters), min_size=1, max_size=6)


def set_of(arms: list[tuple[float, float]]) -> BetaArms:
    alpha, beta = np.array(arms).T
    return BetaArms.of(alpha[None], beta[None])


def below(arms: BetaArms, t: Array) -> Array:
    """Return P(logit θ <= t) by scipy, from the end where θ or 1 − θ is small."""
    alpha, beta = arms.alpha[:, :, None], arms.beta[:, :, None]
    cdf: Array = np.where(t < 0.0, betainc(alpha, beta, expit(t)), betaincc(beta, alpha, expit(-t)))
    return cdf


@given(sets_of_arms)
def test_next_to_no_mass_lies_beyond_the_ends_of_an_arm(arms: list[tuple[float, float]]) -> None:
    beta_arms = set_of(arms)
    ends = np.stack([beta_arms.low, beta_arms.high], axis=2)
    lost = [below(BetaArms.of(*arm), end) for arm, end in zip(pairs(beta_arms), ends[0], strict=True)]
    above = [below(BetaArms.of(*arm[::-1]), -end) for arm, end in zip(pairs(beta_arms), ends[0], strict=True)]
    assert max(cdf[0, 0, 0] for cdf in lost) <= np.exp(-TAIL) * 10
    assert max(survival[0, 0, 1] for survival in above) <= np.exp(-TAIL) * 10
    assert (np.diff(ends) > 0.0).all()


def pairs(arms: BetaArms) -> list[tuple[Array, Array]]:
    return [(arms.alpha[:, [arm]], arms.beta[:, [arm]]) for arm in range(arms.alpha.shape[1])]


@given(parameters, parameters)
def test_the_log_density_is_zero_at_the_peak_and_negative_around_it(alpha: float, beta: float) -> None:
    arm = set_of([(alpha, beta)])
    rounding = 1e-15 * (alpha + beta) + 1e-15
    around = arm.peak + arm.width * np.array([[-1.0, 0.0, 1.0]])
    left, peak, right = arm.log_density(around)[0, 0]
    assert peak == pytest.approx(0.0, abs=rounding)
    assert max(left, right) < -0.1


@given(sets_of_arms)
def test_densities_integrate_to_the_beta_function(arms: list[tuple[float, float]]) -> None:
    """The mass by which densities are scaled is the exact one: scaling hides no error of the mesh."""
    for alpha, beta in arms:
        arm = set_of([(alpha, beta)])
        mesh = on_shared_mesh(arm, count=1).mesh
        mass = mesh.running_integral(np.exp(arm.log_density(mesh.nodes)))[1].item()
        rounding = 1e-15 * (alpha + beta) + 1e-10
        assert np.log(mass) == pytest.approx(float(mp.log(mp.beta(alpha, beta)) + arm.height.item()), abs=rounding)


@given(sets_of_arms)
def test_distribution_functions_agree_with_scipy(arms: list[tuple[float, float]]) -> None:
    beta_arms = set_of(arms)
    on_mesh = on_shared_mesh(beta_arms, count=len(arms))
    t = on_mesh.mesh.nodes
    within_doubles = t > -600.0
    compared = (beta_arms.high > beta_arms.low.max())[:, :, None] & within_doubles[:, None]
    np.testing.assert_allclose(on_mesh.cdf[compared], below(beta_arms, t)[compared], atol=1e-10)


def test_an_arm_wholly_below_another_is_left_out_of_the_mesh() -> None:
    on_mesh = on_shared_mesh(set_of([(1e4, 1e6), (1e6, 1e4), (1e5, 1e3)]), count=3)
    assert (on_mesh.cdf[0, 0] == 1.0).all()
    assert (on_mesh.hazard[0, 0] == 0.0).all()
    assert (expit(on_mesh.mesh.nodes) > 0.9).all()
