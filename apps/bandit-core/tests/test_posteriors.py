"""Posteriors: updating, merging and forgetting as algebra; intervals and curves against scipy and their definitions."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta as beta_distribution

from bandit_core.posteriors import BetaPosterior, DecayedBeta, Interval

counts = st.floats(0.0, 1e6)
priors = st.floats(0.05, 100.0)
posteriors = st.builds(BetaPosterior, priors, priors, counts, counts)
rewards = st.floats(0.0, 1.0)
levels = st.floats(0.01, 0.999)
times = st.floats(0.0, 1e9)

HOUR = 3600.0
SHAPES = [(1.0, 1.0), (2.0, 5.0), (101.0, 9901.0), (1e6, 1e6), (0.5, 3.0), (3.0, 0.5), (0.05, 0.05), (0.05, 1e6)]


def close(computed: BetaPosterior, expected: BetaPosterior) -> bool:
    return computed.successes == pytest.approx(expected.successes, rel=1e-9, abs=1e-9) and (
        computed.failures == pytest.approx(expected.failures, rel=1e-9, abs=1e-9)
    )


class TestBetaPosterior:
    def test_a_reward_is_split_between_successes_and_failures(self) -> None:
        posterior = BetaPosterior(prior_alpha=2.0, prior_beta=3.0).update(1.0).update(0.0).update(0.25)
        assert (posterior.successes, posterior.failures) == (1.25, 1.75)
        assert (posterior.alpha, posterior.beta, posterior.trials) == (3.25, 4.75, 3.0)

    @given(posteriors, rewards, st.floats(0.0, 10.0))
    def test_a_weight_counts_a_reward_that_many_times(
        self, posterior: BetaPosterior, reward: float, weight: float
    ) -> None:
        weighted = posterior.update(reward, weight=weight)
        assert weighted.trials == pytest.approx(posterior.trials + weight)
        assert weighted.successes == pytest.approx(posterior.successes + weight * reward)

    @given(posteriors)
    def test_mean_and_variance_are_those_of_the_distribution(self, posterior: BetaPosterior) -> None:
        expected = beta_distribution(posterior.alpha, posterior.beta)
        assert posterior.mean == pytest.approx(expected.mean(), rel=1e-12)
        assert posterior.variance == pytest.approx(expected.var(), rel=1e-9)

    @given(posteriors, counts, counts)
    def test_merging_adds_the_rewards_and_keeps_one_prior(
        self, posterior: BetaPosterior, successes: float, failures: float
    ) -> None:
        other = BetaPosterior(posterior.prior_alpha, posterior.prior_beta, successes, failures)
        merged = posterior.merge(other)
        assert merged == other.merge(posterior)
        assert merged.trials == pytest.approx(posterior.trials + other.trials)
        assert merged.prior_alpha == posterior.prior_alpha

    def test_posteriors_of_different_priors_do_not_merge(self) -> None:
        with pytest.raises(ValueError, match=r"prior_beta differs \(1\.0 and 2\.0\)"):
            BetaPosterior().merge(BetaPosterior(prior_beta=2.0))

    @given(posteriors, rewards, rewards)
    def test_decay_shrinks_rewards_towards_the_prior_and_composes(
        self, posterior: BetaPosterior, first: float, second: float
    ) -> None:
        assert close(posterior.decay(first).decay(second), posterior.decay(first * second))
        assert posterior.decay(1.0) == posterior
        assert posterior.decay(0.0).mean == BetaPosterior(posterior.prior_alpha, posterior.prior_beta).mean

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"prior_alpha": 0.0}, "prior_alpha must be a finite number above 0"),
            ({"prior_beta": math.inf}, "prior_beta must be a finite number above 0"),
            ({"successes": -1.0}, "successes must be a finite number of at least 0"),
            ({"failures": math.nan}, "failures must be a finite number of at least 0"),
        ],
    )
    def test_impossible_parameters_are_refused(self, parameters: dict[str, float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            BetaPosterior(**parameters)

    @pytest.mark.parametrize("reward", [-0.1, 1.1, math.nan])
    def test_rewards_outside_the_unit_interval_are_refused(self, reward: float) -> None:
        with pytest.raises(ValueError, match="reward must be"):
            BetaPosterior().update(reward)


class TestIntervals:
    @pytest.mark.parametrize(("alpha", "beta"), SHAPES)
    @settings(max_examples=20)
    @given(level=levels)
    def test_an_equal_tailed_interval_leaves_the_same_on_either_side(
        self, alpha: float, beta: float, level: float
    ) -> None:
        interval = BetaPosterior(alpha, beta).interval(level)
        distribution = beta_distribution(alpha, beta)
        assert distribution.cdf(interval.low) == pytest.approx((1.0 - level) / 2.0, rel=1e-6)
        if interval.high < 1.0 - 1e-9:  # nearer to 1, the rounding of the end itself shows
            assert distribution.sf(interval.high) == pytest.approx((1.0 - level) / 2.0, rel=1e-6)

    @pytest.mark.parametrize(("alpha", "beta"), [shape for shape in SHAPES if min(shape) > 0.05])
    @settings(max_examples=20)
    @given(level=levels)
    def test_a_highest_density_interval_holds_its_level_in_the_least_width(
        self, alpha: float, beta: float, level: float
    ) -> None:
        interval = BetaPosterior(alpha, beta).interval(level, "highest_density")
        distribution = beta_distribution(alpha, beta)
        assert distribution.cdf(interval.high) - distribution.cdf(interval.low) == pytest.approx(level, abs=1e-9)
        lower_tails = np.linspace(0.0, 1.0 - level, 100)
        others = distribution.ppf(np.minimum(lower_tails + level, 1.0)) - distribution.ppf(lower_tails)
        assert interval.width <= others.min() * (1.0 + 1e-6)

    @given(st.floats(1.5, 1e4), st.floats(1.5, 1e4), levels)
    def test_both_ends_are_equally_dense_around_a_peak(self, alpha: float, beta: float, level: float) -> None:
        posterior = BetaPosterior(alpha, beta)
        interval = posterior.interval(level, "highest_density")
        peak = posterior.density(np.array([(alpha - 1.0) / (alpha + beta - 2.0)]))[0]
        low, high = posterior.density(np.array([interval.low, interval.high])) / peak
        assert low == pytest.approx(high, abs=1e-5)

    @pytest.mark.parametrize(
        ("alpha", "beta", "expected"),
        [
            (1.0, 2.0, Interval(0.0, 1.0 - math.sqrt(0.1))),
            (2.0, 1.0, Interval(math.sqrt(0.1), 1.0)),
            (0.5, 1.0, Interval(0.0, 0.81)),
            (1.0, 1.0, Interval(0.05, 0.95)),
            (0.5, 0.5, Interval(0.0, math.sin(0.45 * math.pi) ** 2)),
        ],
    )
    def test_known_shortest_intervals(self, alpha: float, beta: float, expected: Interval) -> None:
        """Falling, rising, infinite at 0, flat, and U-shaped: there the interval starts at one end."""
        interval = BetaPosterior(alpha, beta).interval(0.9, "highest_density")
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)

    def test_a_u_shaped_posterior_keeps_the_end_with_more_mass(self) -> None:
        assert BetaPosterior(0.7, 0.5).interval(0.5, "highest_density").high == 1.0
        assert BetaPosterior(0.5, 0.7).interval(0.5, "highest_density").low == 0.0

    @pytest.mark.parametrize("level", [0.0, 1.0, -0.5, math.nan])
    def test_levels_that_are_no_probabilities_are_refused(self, level: float) -> None:
        with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
            BetaPosterior().interval(level)

    def test_unknown_kinds_are_refused(self) -> None:
        with pytest.raises(ValueError, match="kind must be 'equal_tailed' or 'highest_density', got 'central'"):
            BetaPosterior().interval(0.9, "central")  # type: ignore[arg-type]


class TestDrawing:
    @pytest.mark.parametrize(("alpha", "beta"), SHAPES)
    def test_the_density_is_that_of_scipy_and_zero_outside(self, alpha: float, beta: float) -> None:
        x = np.array([-0.5, 1e-9, 0.01, 0.3, 0.5, 0.99, 1.5])
        expected = beta_distribution(alpha, beta).pdf(x)
        np.testing.assert_allclose(BetaPosterior(alpha, beta).density(x), expected, rtol=1e-8, atol=1e-300)

    @pytest.mark.parametrize(("alpha", "beta"), [*SHAPES, (1e-3, 1e-3), (1e-8, 1.0), (1e6, 1e-3)])
    def test_the_drawn_area_is_the_probability_covered(self, alpha: float, beta: float) -> None:
        x, density = BetaPosterior(alpha, beta).curve(points=150)
        assert x.shape == density.shape == (150,)
        assert np.isfinite(density).all()
        assert 0.9998 - 1e-6 <= density.sum() * (x[1] - x[0]) <= 1.0 + 1e-6

    @pytest.mark.parametrize(("alpha", "beta"), [(2.0, 5.0), (101.0, 9901.0), (1e6, 1e6)])
    def test_a_smooth_curve_is_the_density(self, alpha: float, beta: float) -> None:
        posterior = BetaPosterior(alpha, beta)
        x, density = posterior.curve()
        np.testing.assert_allclose(density, posterior.density(x), rtol=0.0, atol=1e-3 * density.max())


class TestDecayedBeta:
    @given(st.lists(st.tuples(rewards, times), min_size=1, max_size=4), st.floats(1.0, 1e7), times)
    def test_every_reward_counts_half_as_much_with_each_half_life_of_age(
        self, events: list[tuple[float, float]], half_life: float, wait: float
    ) -> None:
        now = max(at for _, at in events) + wait
        weights = [2.0 ** (-(now - at) / half_life) for _, at in events]
        expected = BetaPosterior(
            successes=sum(weight * reward for weight, (reward, _) in zip(weights, events, strict=True)),
            failures=sum(weight * (1.0 - reward) for weight, (reward, _) in zip(weights, events, strict=True)),
        )
        for order in permutations(events):
            decayed = DecayedBeta(half_life, landmark=0.0)
            for reward, at in order:
                decayed = decayed.update(reward, at)
            assert close(decayed.at(now), expected)

    @given(st.lists(st.tuples(rewards, times), min_size=2, max_size=6), st.integers(1, 5))
    def test_merging_is_having_seen_all_rewards_in_one_place(self, events: list[tuple[float, float]], cut: int) -> None:
        empty = DecayedBeta(1e8, landmark=0.0, posterior=BetaPosterior(2.0, 3.0))
        here, there, everywhere = empty, empty, empty
        for index, (reward, at) in enumerate(events):
            everywhere = everywhere.update(reward, at)
            if index < cut:
                here = here.update(reward, at)
            else:
                there = there.update(reward, at)
        assert close(here.merge(there).at(2e9), everywhere.at(2e9))
        assert here.merge(there).at(2e9).prior_alpha == 2.0

    def test_nothing_overflows_over_a_million_half_lives(self) -> None:
        decayed = DecayedBeta(HOUR, landmark=0.0).update(1.0, at=0.0).update(0.0, at=1e6 * HOUR)
        assert decayed.at(1e6 * HOUR) == BetaPosterior(successes=0.0, failures=1.0)
        assert decayed.update(1.0, at=0.0).at(1e6 * HOUR) == BetaPosterior(successes=0.0, failures=1.0)

    def test_in_the_end_the_prior_remains(self) -> None:
        prior = BetaPosterior(3.0, 7.0)
        decayed = DecayedBeta(HOUR, landmark=0.0, posterior=prior).update(1.0, at=5.0)
        assert decayed.at(5000.0 * HOUR) == prior

    def test_a_clock_behind_the_newest_event_reads_the_newest_belief(self) -> None:
        decayed = DecayedBeta(HOUR, landmark=0.0).update(1.0, at=100.0)
        assert decayed.at(98.0) == decayed.at(100.0)

    def test_different_half_lives_do_not_merge(self) -> None:
        with pytest.raises(ValueError, match="half_life differs"):
            DecayedBeta(HOUR, landmark=0.0).merge(DecayedBeta(2 * HOUR, landmark=0.0))

    def test_impossible_parameters_are_refused(self) -> None:
        with pytest.raises(ValueError, match="half_life must be a finite number above 0"):
            DecayedBeta(0.0, landmark=0.0)
        with pytest.raises(ValueError, match="landmark must be"):
            DecayedBeta(HOUR, landmark=math.nan)
        with pytest.raises(ValueError, match="time must be"):
            DecayedBeta(HOUR, landmark=0.0).at(math.inf)
