"""Regret is what theory says, and published weights choose like Thompson sampling."""

import numpy as np
import pytest
from scipy import stats

from bandit_core.policies.base import Beliefs
from bandit_core.policies.fixed import Fixed
from bandit_core.policies.thompson import Thompson
from bandit_core.policies.uniform import Uniform
from bandit_core.simulation import Array, BernoulliEnvironment, Counts, Published, Strategy, run
from studies.regret import PlainThompson, Regret, simulate

SMALLEST_P = 1e-4
FOUR_ARMS = BernoulliEnvironment(np.array([0.10, 0.09, 0.08, 0.05]))

BELIEFS: list[tuple[list[float], list[float]]] = [
    ([1.0, 1.0], [1.0, 1.0]),
    ([0.3, 2.0, 1.0], [0.4, 5.0, 1.0]),
    ([40.0, 45.0, 30.0, 5.0], [400.0, 420.0, 350.0, 90.0]),
    ([900.0, 910.0, 700.0, 2.0, 1.0], [9_000.0, 9_050.0, 8_000.0, 30.0, 1.0]),
    ([float(successes) for successes in range(2, 14)], [100.0] * 12),
]


def pooled(observed: Counts, expected: Array) -> tuple[list[float], list[float]]:
    """Put all cells with less than 5 expected into one."""
    rare = expected < 5.0
    cells, means = list(observed[~rare]), list(expected[~rare])
    if expected[rare].sum() >= 5.0:
        return [*cells, observed[rare].sum()], [*means, expected[rare].sum()]
    smallest = int(np.argmin(means))
    cells[smallest] += observed[rare].sum()
    means[smallest] += expected[rare].sum()
    return cells, means


def choices(strategy: Strategy, alpha: list[float], beta: list[float], draws: int, seed: int) -> Counts:
    rng = np.random.default_rng(seed)
    return strategy.choose(np.array([alpha]), np.array([beta]), draws, rng).sum(axis=0)


@pytest.mark.parametrize("strategy", [PlainThompson(), PlainThompson(every=30)], ids=["plain", "in blocks"])
def test_every_decision_of_every_run_is_counted_once(strategy: Strategy) -> None:
    snapshots = list(run(FOUR_ARMS, strategy, decisions=100, runs=7, rng=np.random.default_rng(1)))
    assert [snapshot.decisions for snapshot in snapshots] == [*range(strategy.every, 100, strategy.every), 100]
    for snapshot in snapshots:
        assert snapshot.trials.shape == snapshot.successes.shape == (7, 4)
        assert (snapshot.trials.sum(axis=1) == snapshot.decisions).all()
        assert ((snapshot.successes >= 0) & (snapshot.successes <= snapshot.trials)).all()


def test_the_regret_of_a_uniform_split_is_known() -> None:
    """Mean n * mean gap, standard deviation sqrt(n) * that of the gaps."""
    decisions, runs = 2_000, 1_000
    regret = simulate(
        FOUR_ARMS,
        Published(Uniform(), every=100),
        decisions=decisions,
        runs=runs,
        rng=np.random.default_rng(3),
    )
    theory = np.sqrt(regret.decisions) * FOUR_ARMS.gaps.std() / np.sqrt(runs)
    assert (np.abs(regret.mean - regret.decisions * FOUR_ARMS.gaps.mean()) < 4 * theory).all()
    assert regret.std_error == pytest.approx(theory, rel=4 / np.sqrt(2 * runs))


def test_the_best_arm_has_no_regret_and_another_arm_its_gap_per_decision() -> None:
    def final(arm: str) -> Array:
        strategy = Published(Fixed({arm: 1.0}), every=10)
        return simulate(FOUR_ARMS, strategy, decisions=95, runs=4, rng=np.random.default_rng(4)).final

    assert final("0") == pytest.approx([0.0] * 4)
    assert final("3") == pytest.approx([95 * 0.05] * 4)


def test_a_regret_curve_is_the_mean_of_its_runs() -> None:
    regret = simulate(FOUR_ARMS, PlainThompson(), decisions=50, runs=20, rng=np.random.default_rng(5))
    assert regret.decisions.tolist() == list(range(1, 51))
    assert (np.diff(regret.mean) >= 0).all()
    assert regret.at(50) == (regret.mean[-1], regret.std_error[-1])
    assert regret.mean[-1] == pytest.approx(regret.final.mean())
    assert regret.std_error[-1] == pytest.approx(stats.sem(regret.final))


def test_the_same_seed_gives_the_same_runs_and_another_seed_others() -> None:
    def final(seed: int) -> list[float]:
        rng = np.random.default_rng(seed)
        return list(simulate(FOUR_ARMS, PlainThompson(), decisions=100, runs=10, rng=rng).final)

    assert final(1) == final(1)
    assert final(1) != final(2)


@pytest.mark.parametrize(("alpha", "beta"), BELIEFS)
def test_published_weights_select_like_the_argmax_of_samples(alpha: list[float], beta: list[float]) -> None:
    """Sample every posterior and take the argmax, 100,000 times: the counts fit the published weights."""
    draws = 100_000
    weights = Thompson().propose(Beliefs(tuple(map(str, range(len(alpha)))), np.array(alpha), np.array(beta))).weights
    sampled = choices(PlainThompson(every=draws), alpha, beta, draws, seed=8)
    drawn = choices(Published(Thompson(), every=draws), alpha, beta, draws, seed=9)
    for counts in (sampled, drawn):
        assert stats.chisquare(*pooled(counts, weights * draws)).pvalue > SMALLEST_P


@pytest.mark.verify
@pytest.mark.parametrize("seed", range(12))
def test_published_weights_select_like_the_argmax_of_3_million_samples(seed: int) -> None:
    """2 to 20 arms with click rates of 5% to 8%, from no data to 10,000 trials each."""
    rng, draws = np.random.default_rng(seed), 3_000_000
    arms = int(rng.integers(2, 21))
    trials = rng.integers(0, 10 ** rng.integers(1, 5, arms))
    successes = rng.binomial(trials, rng.uniform(0.05, 0.08, arms))
    alpha, beta = (1.0 + successes).tolist(), (1.0 + (trials - successes)).tolist()
    weights = Published(Thompson()).weights(np.array([alpha]), np.array([beta]))[0]
    counts = choices(PlainThompson(every=draws), alpha, beta, draws, seed)
    assert stats.chisquare(*pooled(counts, weights * draws)).pvalue > SMALLEST_P


def test_the_selection_test_would_notice_weights_that_are_off_by_a_hundredth() -> None:
    sampled = choices(PlainThompson(every=100_000), *BELIEFS[2], 100_000, seed=8)
    weights = Published(Thompson()).weights(*(np.array([row]) for row in BELIEFS[2]))[0]
    wrong = weights + np.array([0.01, -0.01, 0.0, 0.0])
    assert stats.chisquare(*pooled(sampled, wrong * 100_000)).pvalue < SMALLEST_P


@pytest.mark.parametrize(
    ("strategy", "runs"), [(PlainThompson(), 1_000), (Published(Thompson(), every=20), 150)], ids=["plain", "published"]
)
def test_regret_agrees_with_the_known_figure_of_thompson_sampling(strategy: Strategy, runs: int) -> None:
    """11.92 +- 0.06 after 1,000 decisions (4,000 runs); the full size, to 10,000 decisions, is in `verify`."""
    regret = simulate(FOUR_ARMS, strategy, decisions=1_000, runs=runs, rng=np.random.default_rng(10))
    mean, std_error = regret.at(1_000)
    assert abs(mean - 11.92) < 3 * np.hypot(std_error, 0.06)


def test_seldom_published_weights_cost_regret() -> None:
    """Publishing once in 1,000 decisions is a uniform split of the first 1,000."""
    strategy = Published(Thompson(), every=1_000)
    regret = simulate(FOUR_ARMS, strategy, decisions=1_000, runs=100, rng=np.random.default_rng(11))
    assert regret.mean[0] == pytest.approx(1_000 * FOUR_ARMS.gaps.mean(), rel=0.03)


def test_sizes_that_are_too_small_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="every must be"):
        PlainThompson(every=0)
    with pytest.raises(ValueError, match="runs must be a whole number of at least 2"):
        simulate(FOUR_ARMS, PlainThompson(), decisions=1, runs=1, rng=np.random.default_rng(0))


def test_a_curve_knows_only_its_own_points() -> None:
    regret = Regret(np.array([100, 200]), np.array([1.0, 2.0]), np.array([0.1, 0.1]), np.array([2.0]))
    with pytest.raises(ValueError, match="no point at 150"):
        regret.at(150)
