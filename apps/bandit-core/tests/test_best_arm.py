"""P(best) and expected loss: against 30-digit integration, closed forms and the laws they obey."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import TypedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import betaln

from bandit_core import best_arm as module
from bandit_core.best_arm import BestArm, best_arm, expected_loss, prob_best, prob_best_many
from bandit_core.beta_arms import on_shared_mesh

type Array = NDArray[np.float64]
type Arms = list[tuple[float, float]]

HERE = Path(__file__).parent

# A tenth of the errors promised: 1e-8, and 1e-6 of every probability above 1e-12.
ABSOLUTE = 1e-9
RELATIVE = 1e-7


class Case(TypedDict):
    name: str
    alpha: list[float]
    beta: list[float]
    prob_best: list[float]
    expected_loss: list[float]


CASES: list[Case] = json.loads((HERE / "data" / "best_arm_reference.json").read_text())
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])

parameters = st.floats(np.log(0.05), np.log(1e6)).map(lambda logarithm: float(np.exp(logarithm)))
arm = st.tuples(parameters, parameters)
moderate_arm = st.tuples(st.floats(0.05, 50.0), st.floats(0.05, 50.0))


def unzip(arms: Arms) -> tuple[Array, Array]:
    alpha, beta = np.array(arms, dtype=np.float64).T
    return alpha, beta


@every_case
def test_prob_best_agrees_with_30_digit_integration(case: Case) -> None:
    computed, true = prob_best(case["alpha"], case["beta"]), np.array(case["prob_best"])
    np.testing.assert_allclose(computed, true, rtol=0.0, atol=ABSOLUTE)
    np.testing.assert_allclose(computed[true > 1e-12], true[true > 1e-12], rtol=RELATIVE)


@every_case
def test_expected_loss_agrees_with_30_digit_integration(case: Case) -> None:
    """A small loss keeps its relative accuracy too: it is no difference of two nearly equal means."""
    computed, true = expected_loss(case["alpha"], case["beta"]), np.array(case["expected_loss"])
    np.testing.assert_allclose(computed, true, rtol=0.0, atol=ABSOLUTE)
    np.testing.assert_allclose(computed[true > 1e-16], true[true > 1e-16], rtol=RELATIVE)


@every_case
def test_normalising_hides_nothing(case: Case) -> None:
    arms, copies, _ = module._distinct(np.array(case["alpha"]), np.array(case["beta"]))
    on_mesh = on_shared_mesh(arms, count=len(case["alpha"]))
    unscaled = on_mesh.hazard[0] @ module._maximum(on_mesh, copies)[0]
    assert unscaled @ copies == pytest.approx(1.0, abs=1e-10)


def reference_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_best_arm", HERE / "reference_best_arm.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize("name", ["two small samples", "U-shaped, nearly equal"])
def test_the_stored_truth_is_what_its_script_computes(name: str) -> None:
    case = next(case for case in CASES if case["name"] == name)
    arms = list(zip(case["alpha"], case["beta"], strict=True))
    chances, losses = reference_module().checked_truth(arms)
    assert [float(chances[arm]) for arm in arms] == pytest.approx(case["prob_best"], rel=1e-12)
    assert [float(losses[arm]) for arm in arms] == pytest.approx(case["expected_loss"], rel=1e-12)


def chance_that_the_second_wins(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Return P(θ₂ > θ₁) by Miller 2014 ("Formulas for Bayesian A/B testing"), for whole parameters."""
    i = np.arange(second[0])
    logs = betaln(first[0] + i, first[1] + second[1]) - np.log(second[1] + i) - betaln(1 + i, second[1])
    return float(np.exp(logs - betaln(*first)).sum())


whole = st.integers(1, 300)


@given(st.tuples(whole, whole), st.tuples(whole, whole))
def test_two_arms_with_whole_parameters_obey_millers_formula(first: tuple[int, int], second: tuple[int, int]) -> None:
    computed = prob_best(*unzip([first, second]))[1]
    assert computed == pytest.approx(chance_that_the_second_wins(first, second), rel=1e-9, abs=1e-12)


@given(arm, st.integers(1, 50))
def test_equal_arms_share_equally_to_the_last_bit(arm: tuple[float, float], count: int) -> None:
    result = best_arm(*unzip([arm] * count))
    assert set(result.prob_best) == {result.prob_best[0]}
    assert result.prob_best[0] == pytest.approx(1.0 / count, rel=1e-15)
    assert len(set(result.expected_loss)) == 1


@pytest.mark.parametrize("count", [1, 2, 10, 1000])
def test_flat_posteriors_lose_what_the_largest_of_uniform_numbers_exceeds_the_mean_by(count: int) -> None:
    loss = expected_loss(np.ones(count), np.ones(count))
    np.testing.assert_allclose(loss, count / (count + 1) - 0.5, rtol=1e-9, atol=1e-15)


@given(st.lists(arm, min_size=1, max_size=12))
def test_probabilities_sum_to_one_and_losses_are_not_negative(arms: Arms) -> None:
    result = best_arm(*unzip(arms))
    assert result.prob_best.sum() == pytest.approx(1.0, abs=1e-14)
    assert (result.prob_best >= 0.0).all()
    assert (result.expected_loss >= 0.0).all()


@given(st.lists(arm, min_size=2, max_size=8), st.integers(0, 1000))
def test_the_order_of_arms_does_not_matter(arms: Arms, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(arms))
    alpha, beta = unzip(arms)
    result, permuted = best_arm(alpha, beta), best_arm(alpha[order], beta[order])
    np.testing.assert_allclose(permuted.prob_best, result.prob_best[order], rtol=1e-10, atol=1e-18)
    np.testing.assert_allclose(permuted.expected_loss, result.expected_loss[order], rtol=1e-9, atol=1e-15)


@given(st.lists(moderate_arm, min_size=2, max_size=6), st.floats(1.001, 2.0))
def test_more_successes_make_an_arm_likelier_to_be_best_and_more_failures_less(arms: Arms, factor: float) -> None:
    (alpha, beta), first = unzip(arms), np.arange(len(arms)) == 0
    before = prob_best(alpha, beta)[0]
    assert prob_best(np.where(first, alpha * factor, alpha), beta)[0] >= before
    assert prob_best(alpha, np.where(first, beta * factor, beta))[0] <= before


@given(moderate_arm, moderate_arm)
def test_losses_of_two_arms_follow_from_probabilities(first: tuple[float, float], second: tuple[float, float]) -> None:
    """E[(θ₂ − θ₁)⁺] = μ₂ P(θ₂' > θ₁) − μ₁ P(θ₂ > θ₁'), where a prime marks an arm with one success more."""

    def wins(first: tuple[float, float], second: tuple[float, float]) -> float:
        return float(prob_best(*unzip([first, second]))[1])

    means = [alpha / (alpha + beta) for alpha, beta in (first, second)]
    with_success = [(alpha + 1.0, beta) for alpha, beta in (first, second)]
    by_parts = means[1] * wins(first, with_success[1]) - means[0] * wins(with_success[0], second)
    assert expected_loss(*unzip([first, second]))[0] == pytest.approx(by_parts, abs=1e-9)


@given(st.lists(arm, min_size=1, max_size=8))
def test_losses_differ_as_means_do(arms: Arms) -> None:
    alpha, beta = unzip(arms)
    best_mean = expected_loss(alpha, beta) + alpha / (alpha + beta)
    np.testing.assert_allclose(best_mean, best_mean[0], rtol=0.0, atol=1e-15)


def test_a_hopeless_arm_changes_nothing_for_the_others() -> None:
    alpha, beta = np.array([30.0, 28.0, 31.0]), np.array([70.0, 75.0, 74.0])
    alone, crowded = best_arm(alpha, beta), best_arm(np.append(alpha, 10.0), np.append(beta, 1e6))
    np.testing.assert_allclose(crowded.prob_best, np.append(alone.prob_best, 0.0), rtol=1e-10, atol=1e-18)
    np.testing.assert_allclose(crowded.expected_loss[:3], alone.expected_loss, rtol=1e-10)


@pytest.mark.parametrize("count", [1, 4, 30])
def test_many_sets_at_once_give_what_each_gives_alone(count: int) -> None:
    """Also when they do not fit one batch, and when sets of very different difficulty share one."""
    rng = np.random.default_rng(5)
    alpha, beta = np.exp(rng.uniform(np.log(0.05), np.log(1e6), (2, 100, count)))
    alone = [prob_best(a, b) for a, b in zip(alpha, beta, strict=True)]
    np.testing.assert_allclose(prob_best_many(alpha, beta), alone, rtol=RELATIVE, atol=1e-15)


def test_no_sets_give_no_rows() -> None:
    assert prob_best_many(np.empty((0, 3)), np.empty((0, 3))).shape == (0, 3)


@given(st.lists(parameters, min_size=1, max_size=100))
def test_arms_with_beta_1_are_best_in_proportion_to_alpha(alpha: list[float]) -> None:
    """F_i(x) = x^α_i, so that P(best)_i = α_i / Σ α and E[max θ] = Σ α / (Σ α + 1)."""
    check_arms_with_beta_1(np.array(alpha))


def check_arms_with_beta_1(alpha: Array) -> None:
    result = best_arm(alpha, np.ones_like(alpha))
    np.testing.assert_allclose(result.prob_best, alpha / alpha.sum(), rtol=RELATIVE)
    gaps = alpha.sum() / (alpha.sum() + 1.0) - alpha / (alpha + 1.0)
    np.testing.assert_allclose(result.expected_loss, gaps, atol=ABSOLUTE)


def test_a_thousand_arms_work() -> None:
    check_arms_with_beta_1(np.exp(np.random.default_rng(3).uniform(np.log(0.05), np.log(1e6), 1000)))
    anything = best_arm(*np.exp(np.random.default_rng(3).uniform(np.log(0.05), np.log(1e6), (2, 1000))))
    assert anything.prob_best.sum() == pytest.approx(1.0, abs=1e-13)
    assert (anything.expected_loss >= 0.0).all()


@pytest.mark.parametrize("extreme", [2e-9, 1e15])
def test_parameters_at_their_limits_still_work(extreme: float) -> None:
    result = best_arm([extreme, extreme / 2, 1.0], [extreme, extreme, 1.0])
    assert result.prob_best.sum() == pytest.approx(1.0)
    assert (result.expected_loss >= 0.0).all()
    assert result.prob_best[0] > 0.4


def test_the_first_of_equal_leaders_leads() -> None:
    assert BestArm(np.array([0.2, 0.4, 0.4]), np.zeros(3)).leader == 1
    assert best_arm([1, 5, 5], [9, 5, 5]).leader == 1


@pytest.mark.parametrize(
    ("alpha", "beta", "message"),
    [
        ([1.0, 2.0], [1.0], r"alpha and beta must both have shape \(K,\)"),
        ([], [], "with at least one arm"),
        ([[1.0]], [[1.0]], r"must both have shape \(K,\)"),
        ([1.0, 0.0], [1.0, 1.0], "alpha must lie between 1e-09 and 1e\\+15"),
        ([1.0, 1.0], [1.0, float("inf")], "beta must lie between 1e-09 and 1e\\+15"),
        ([1.0, float("nan")], [1.0, 1.0], "alpha must lie between 1e-09 and 1e\\+15"),
    ],
)
def test_impossible_parameters_are_refused(alpha: list[float], beta: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        best_arm(alpha, beta)


def test_a_single_set_is_not_taken_for_many() -> None:
    with pytest.raises(ValueError, match=r"must both have shape \(S, K\)"):
        prob_best_many([1.0, 2.0], [1.0, 2.0])
