"""Gaussian rewards: conjugate posteriors, which mean is the highest, and every policy on them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import quad

from bandit_core.allocation import ArmState, allocate
from bandit_core.gaussian import GaussianBeliefs, GaussianPrior
from bandit_core.guardrails import Guardrails
from bandit_core.policies import make_policy, policy_names
from bandit_core.policies.bayes_ucb import BayesUCB
from bandit_core.policies.thompson import Thompson
from bandit_core.policies.top_two_thompson import TopTwoThompson
from bandit_core.stopping import StoppingRule

type Array = NDArray[np.float64]

DRAWS = 400_000
PRIOR = GaussianPrior(mean=2.0, strength=0.5, shape=1.5, scale=3.0)

finite = st.floats(-50.0, 50.0)


def beliefs_from(rewards: list[list[float]], prior: GaussianPrior = PRIOR) -> GaussianBeliefs:
    arms = tuple(map(str, range(len(rewards))))
    sums = [[len(each), sum(each), sum(reward * reward for reward in each)] for each in rewards]
    count, total, squares = np.array(sums, dtype=np.float64).T
    return GaussianBeliefs.of(arms, prior, count, total, squares)


def t_beliefs(mean: list[float], scale: list[float], freedom: list[float]) -> GaussianBeliefs:
    return GaussianBeliefs(tuple(map(str, range(len(mean)))), np.array(mean), np.array(scale), np.array(freedom))


@st.composite
def some_beliefs(draw: st.DrawFn) -> GaussianBeliefs:
    count = draw(st.integers(1, 8))
    columns = [
        draw(st.lists(values, min_size=count, max_size=count))
        for values in (st.floats(-3.0, 3.0), st.floats(0.01, 3.0), st.floats(1.1, 1e6))
    ]
    return t_beliefs(*columns)


@given(st.lists(finite, max_size=30))
def test_the_posterior_from_sums_is_that_of_one_reward_after_another(rewards: list[float]) -> None:
    """Murphy 2007, eqs. 85 to 89, with n = 1 each time."""
    m, k, a, b = PRIOR.mean, PRIOR.strength, PRIOR.shape, PRIOR.scale
    for reward in rewards:
        b += k * (reward - m) ** 2 / (2.0 * (k + 1.0))
        m, k, a = (k * m + reward) / (k + 1.0), k + 1.0, a + 0.5
    posterior = beliefs_from([rewards])
    assert posterior.mean[0] == pytest.approx(m, rel=1e-9, abs=1e-9)
    assert posterior.freedom[0] == pytest.approx(2.0 * a)
    assert posterior.scale[0] == pytest.approx(np.sqrt(b / (a * k)), rel=1e-9)


def test_the_posterior_is_what_bayes_rule_says() -> None:
    """The density of the mean is proportional to ∫ p(rewards | μ, σ²) p(μ | σ²) p(σ²) dσ², integrated directly."""
    rewards, posterior = [1.0, 4.0, 2.5], beliefs_from([[1.0, 4.0, 2.5]])

    def joint(log_variance: float, mean: float) -> float:
        variance = np.exp(log_variance)
        likelihood = stats.norm.pdf(rewards, mean, np.sqrt(variance)).prod()
        prior_of_mean = stats.norm.pdf(mean, PRIOR.mean, np.sqrt(variance / PRIOR.strength))
        prior_of_variance = stats.invgamma.pdf(variance, PRIOR.shape, scale=PRIOR.scale)
        return float(likelihood * prior_of_mean * prior_of_variance * variance)

    at = np.array([-1.0, 1.0, 2.0, 2.4, 5.0])
    direct = np.array([quad(joint, -6.0, 9.0, args=(mean,))[0] for mean in at])
    ours = stats.t.pdf(at, posterior.freedom[0], posterior.mean[0], posterior.scale[0])
    np.testing.assert_allclose(ours / ours[0], direct / direct[0], rtol=1e-6)


def test_rewards_that_are_all_alike_leave_no_negative_spread() -> None:
    posterior = beliefs_from([[0.1] * 1_000], GaussianPrior(mean=0.1, scale=1e-12))
    assert 0.0 < posterior.scale[0] < 1e-3


def test_two_arms_agree_with_adaptive_integration() -> None:
    beliefs = t_beliefs([0.3, 0.5], [0.4, 0.1], [2.5, 40.0])
    first, second = (stats.t(df, m, s) for m, s, df in zip(beliefs.mean, beliefs.scale, beliefs.freedom, strict=True))
    points = [0.2, 0.4, 0.5, 0.6, 0.8]
    chance = quad(lambda t: first.pdf(t) * second.cdf(t), -20.0, 20.0, points=points, limit=500)[0]
    chance += quad(lambda t: first.pdf(t) * second.cdf(t), 20.0, np.inf)[0]
    loss = quad(lambda t: first.cdf(t) * second.sf(t), -20.0, 20.0, points=points, limit=500)[0]
    loss += quad(lambda t: first.cdf(t) * second.sf(t), -np.inf, -20.0)[0]
    assert beliefs.best_arm.prob_best == pytest.approx([chance, 1.0 - chance], abs=1e-7)
    assert beliefs.best_arm.expected_loss[0] == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("freedom", [3.0, 30.0, 300.0])
def test_small_probabilities_keep_their_relative_accuracy(freedom: float) -> None:
    """An arm ten scales behind, against adaptive integration of its chance alone."""
    beliefs = t_beliefs([0.0, 1.0], [0.1, 0.1], [freedom, freedom])
    behind, ahead = (stats.t(freedom, mean, 0.1) for mean in beliefs.mean)
    points = [0.0, 0.3, 0.5, 0.7, 1.0, 2.0]
    truth = sum(
        quad(lambda t: behind.pdf(t) * ahead.cdf(t), *ends, epsabs=0.0, epsrel=1e-11, limit=500)[0]
        for ends in pairwise([-np.inf, *points, np.inf])
    )
    assert truth < 0.01
    assert beliefs.best_arm.prob_best[0] == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("count", [2, 5, 20])
def test_probabilities_and_losses_match_simulation(count: int) -> None:
    """Within 4 standard errors of 400,000 draws."""
    rng = np.random.default_rng(count)
    beliefs = t_beliefs(
        rng.normal(0.0, 0.5, count).tolist(),
        rng.uniform(0.1, 0.6, count).tolist(),
        rng.uniform(4.0, 60.0, count).tolist(),
    )
    wins, loss, squares = np.zeros(count), np.zeros(count), np.zeros(count)
    for _ in range(10):
        noise = rng.standard_t(beliefs.freedom[:, None], (count, DRAWS // 10))
        drawn = beliefs.mean[:, None] + beliefs.scale[:, None] * noise
        wins += np.bincount(drawn.argmax(axis=0), minlength=count)
        gaps = drawn.max(axis=0) - drawn
        loss += gaps.sum(axis=1)
        squares += (gaps * gaps).sum(axis=1)
    chances = beliefs.best_arm.prob_best
    std_error = np.maximum(np.sqrt(chances * (1.0 - chances) / DRAWS), 1.0 / DRAWS)
    assert (np.abs(wins / DRAWS - chances) < 4.0 * std_error).all()
    of_loss = np.sqrt((squares / DRAWS - (loss / DRAWS) ** 2) / DRAWS)
    assert (np.abs(loss / DRAWS - beliefs.best_arm.expected_loss) < 4.0 * of_loss).all()


@settings(max_examples=40, deadline=None)
@given(some_beliefs())
def test_probabilities_sum_to_1_and_losses_are_not_negative(beliefs: GaussianBeliefs) -> None:
    result = beliefs.best_arm
    assert result.prob_best.sum() == pytest.approx(1.0, abs=1e-12)
    assert (result.prob_best >= 0.0).all()
    assert (result.expected_loss >= 0.0).all()


@settings(max_examples=40, deadline=None)
@given(some_beliefs(), st.integers(0, 1_000))
def test_the_order_of_arms_does_not_matter(beliefs: GaussianBeliefs, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(beliefs.arms))
    permuted = t_beliefs(*(column[order].tolist() for column in (beliefs.mean, beliefs.scale, beliefs.freedom)))
    np.testing.assert_allclose(permuted.best_arm.prob_best, beliefs.best_arm.prob_best[order], atol=1e-12)
    np.testing.assert_allclose(permuted.best_arm.expected_loss, beliefs.best_arm.expected_loss[order], rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(some_beliefs(), finite, st.floats(0.01, 100.0))
def test_units_of_reward_do_not_matter(beliefs: GaussianBeliefs, shift: float, unit: float) -> None:
    moved = GaussianBeliefs(beliefs.arms, unit * (beliefs.mean + shift), unit * beliefs.scale, beliefs.freedom)
    np.testing.assert_allclose(moved.best_arm.prob_best, beliefs.best_arm.prob_best, atol=1e-9)
    np.testing.assert_allclose(
        moved.best_arm.expected_loss, unit * beliefs.best_arm.expected_loss, rtol=1e-6, atol=1e-9 * unit
    )


def test_losses_differ_as_means_do() -> None:
    beliefs = t_beliefs([0.1, 0.4, -0.2], [0.2, 0.3, 0.5], [8.0, 20.0, 5.0])
    highest = beliefs.best_arm.expected_loss + beliefs.mean
    np.testing.assert_allclose(highest, highest[0], atol=1e-8)


@pytest.mark.parametrize("count", [1, 2, 30])
def test_equal_arms_share_equally(count: int) -> None:
    chances = t_beliefs([1.0] * count, [0.5] * count, [3.0] * count).best_arm.prob_best
    np.testing.assert_allclose(chances, 1.0 / count, rtol=1e-12)


def test_quantiles_and_intervals_are_those_of_students_t() -> None:
    beliefs = t_beliefs([0.5, -1.0], [0.2, 3.0], [2.0, 30.0])
    truth = stats.t(beliefs.freedom, beliefs.mean, beliefs.scale)
    np.testing.assert_allclose(beliefs.upper_quantile(0.01), truth.isf(0.01), rtol=1e-9)
    np.testing.assert_allclose(beliefs.interval(0.9), (truth.ppf(0.05), truth.ppf(0.95)), rtol=1e-9)
    assert beliefs.evidence == 32.0


def test_a_subset_keeps_the_chosen_and_is_the_same_when_all_are() -> None:
    beliefs = t_beliefs([0.5, -1.0, 2.0], [0.2, 3.0, 1.0], [2.0, 30.0, 4.0])
    subset = beliefs.subset(np.array([True, False, True]))
    assert subset.arms == ("0", "2")
    assert (subset.mean.tolist(), subset.scale.tolist(), subset.freedom.tolist()) == (
        [0.5, 2.0],
        [0.2, 1.0],
        [2.0, 4.0],
    )
    assert beliefs.subset(np.ones(3, dtype=np.bool_)) is beliefs


@pytest.mark.parametrize("name", policy_names())
@settings(max_examples=30, deadline=None)
@given(beliefs=some_beliefs())
def test_every_policy_gives_a_probability_vector(name: str, beliefs: GaussianBeliefs) -> None:
    weights = make_policy(name, {"weights": {"0": 1.0}} if name == "fixed" else None).propose(beliefs).weights
    assert weights.shape == beliefs.mean.shape
    assert (weights >= 0.0).all()
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("gap", [10.0, 1e3, 1e6])
def test_top_two_thompson_keeps_testing_when_the_leader_is_certain(gap: float) -> None:
    """P(best) of the others is far below what a float holds."""
    beliefs = t_beliefs([gap, 0.2, 0.1], [0.01] * 3, [1e5] * 3)
    weights = TopTwoThompson(beta=0.5).propose(beliefs).weights
    assert weights[0] == pytest.approx(0.5, abs=1e-6)
    assert weights[1] > weights[2]


def test_bayes_ucb_follows_the_upper_quantile() -> None:
    weights = BayesUCB().propose(t_beliefs([0.5, 0.4], [0.01, 1.0], [50.0, 50.0])).weights
    assert weights.tolist() == [0.0, 1.0]


def test_allocate_takes_the_beliefs_and_explains_in_units_of_reward() -> None:
    arms = [ArmState("a", 1.0, 1.0, trials=200), ArmState("b", 1.0, 1.0, trials=200)]
    rng = np.random.default_rng(1)
    rewards = [rng.normal(mean, 5.0, 200) for mean in (20.0, 21.0)]
    beliefs = GaussianBeliefs.of(
        ("a", "b"), GaussianPrior(), [200, 200], [r.sum() for r in rewards], [(r * r).sum() for r in rewards]
    )
    allocation = allocate(
        arms=arms,
        policy=Thompson(),
        guardrails=Guardrails(min_weight=0.05, max_step=1.0),
        previous={"a": 0.5, "b": 0.5},
        seconds_since_change=None,
        beliefs=beliefs,
    )
    chances = np.clip(beliefs.best_arm.prob_best, 0.05, 0.95)
    assert list(allocation.weights.values()) == pytest.approx(chances.tolist(), abs=1e-12)
    assert allocation.explanation.scale == "value"
    assert f"estimated mean {beliefs.mean.max():.4g} from 200 rewards" in allocation.explanation.paragraph()


@pytest.mark.parametrize(("gap", "outcome"), [(1.0, "winner"), (0.0, "practically_equal"), (0.05, "undecided")])
def test_stopping_rules_judge_the_beliefs(gap: float, outcome: str) -> None:
    spread = 0.001 if outcome == "practically_equal" else 0.1
    beliefs = t_beliefs([0.5 + gap, 0.5], [spread, spread], [200.0, 200.0])
    rule = StoppingRule(prob_best=0.95, expected_loss=0.002)
    assert rule.evaluate(beliefs, {"0": 5_000, "1": 5_000}, elapsed=1.0).outcome == outcome


def test_allocate_refuses_beliefs_about_other_arms() -> None:
    with pytest.raises(ValueError, match="beliefs must be about the arms, in their order"):
        allocate(
            arms=[ArmState("a", 1.0, 1.0, trials=0), ArmState("b", 1.0, 1.0, trials=0)],
            policy=Thompson(),
            guardrails=Guardrails(),
            previous=None,
            seconds_since_change=None,
            beliefs=t_beliefs([0.0, 0.0], [1.0, 1.0], [2.0, 2.0]),
        )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mean", np.nan, "mean must be a finite number"),
        ("strength", 0.0, "strength must be a finite number above 0, got 0.0"),
        ("shape", 0.5, "shape must be a finite number above 0.5, got 0.5"),
        ("scale", -1.0, "scale must be a finite number above 0, got -1.0"),
    ],
)
def test_a_prior_out_of_range_is_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianPrior(**{field: value})


@pytest.mark.parametrize(
    ("arms", "mean", "scale", "freedom", "message"),
    [
        ((), [], [], [], "beliefs need at least one arm, and ids that differ"),
        (("a", "a"), [0.0, 0.0], [1.0, 1.0], [2.0, 2.0], "ids that differ"),
        (("a",), [np.inf], [1.0], [2.0], "means must be finite, scales positive and degrees of freedom above 1"),
        (("a",), [0.0], [0.0], [2.0], "scales positive"),
        (("a",), [0.0], [1.0], [1.0], "degrees of freedom above 1"),
    ],
)
def test_beliefs_out_of_range_are_refused(
    arms: tuple[str, ...], mean: list[float], scale: list[float], freedom: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianBeliefs(arms, np.array(mean), np.array(scale), np.array(freedom))


@pytest.mark.parametrize("count", [[1.0], [1.0, -1.0], [1.0, np.nan]])
def test_sums_that_do_not_fit_are_refused(count: list[float]) -> None:
    with pytest.raises(ValueError, match="count, total and squares must hold one number of at least 0 for each of 2"):
        GaussianBeliefs.of(("a", "b"), PRIOR, count, [1.0, 1.0], [1.0, 1.0])
