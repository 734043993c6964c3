"""Simulated runs are counted right, and published weights are those of the policy."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import stats

from bandit_core.policies import make_policy, policy_names
from bandit_core.policies.base import Beliefs, Policy
from bandit_core.policies.fixed import Fixed
from bandit_core.policies.thompson import Thompson
from bandit_core.policies.uniform import Uniform
from bandit_core.simulation import Array, BernoulliEnvironment, Counts, Published, run

SMALLEST_P = 1e-4
FOUR_ARMS = BernoulliEnvironment(np.array([0.10, 0.09, 0.08, 0.05]))

BELIEFS: list[tuple[list[float], list[float]]] = [
    ([1.0, 1.0], [1.0, 1.0]),
    ([0.3, 2.0, 1.0], [0.4, 5.0, 1.0]),
    ([40.0, 45.0, 30.0, 5.0], [400.0, 420.0, 350.0, 90.0]),
    ([900.0, 910.0, 700.0, 2.0, 1.0], [9_000.0, 9_050.0, 8_000.0, 30.0, 1.0]),
    ([float(successes) for successes in range(2, 14)], [100.0] * 12),
]


@dataclass
class FirstArm:
    """Always takes the first arm, and remembers what it was shown."""

    every: int
    seen: list[tuple[Array, Array, int]] = field(default_factory=list)

    def choose(
        self,
        alpha: Array,
        beta: Array,
        decisions: int,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Counts:
        self.seen.append((alpha, beta, decisions))
        counts = np.zeros(alpha.shape, dtype=np.int64)
        counts[:, 0] = decisions
        return counts


def every_policy(arms: int) -> list[Policy]:
    params = {"fixed": {"weights": {str(arm): arm + 1.0 for arm in range(arms)}}}
    return [make_policy(name, params.get(name)) for name in policy_names()]


def test_every_decision_of_every_run_is_counted_once() -> None:
    strategy = Published(Uniform(), every=30)
    snapshots = list(run(FOUR_ARMS, strategy, decisions=100, runs=7, rng=np.random.default_rng(1)))
    assert [snapshot.decisions for snapshot in snapshots] == [*range(strategy.every, 100, strategy.every), 100]
    for snapshot in snapshots:
        assert snapshot.trials.shape == snapshot.successes.shape == (7, 4)
        assert (snapshot.trials.sum(axis=1) == snapshot.decisions).all()
        assert ((snapshot.successes >= 0) & (snapshot.successes <= snapshot.trials)).all()


def test_a_strategy_sees_the_prior_plus_what_was_counted_before_this_look() -> None:
    strategy = FirstArm(every=40)
    snapshots = list(run(FOUR_ARMS, strategy, decisions=100, runs=3, rng=np.random.default_rng(1), prior=(2.0, 30.0)))
    assert [decisions for _, _, decisions in strategy.seen] == [40, 40, 20]
    assert (strategy.seen[0][0] == 2.0).all()
    assert (strategy.seen[0][1] == 30.0).all()
    for (alpha, beta, _), before in zip(strategy.seen[1:], snapshots, strict=False):
        assert (alpha == 2.0 + before.successes).all()
        assert (beta == 30.0 + before.trials - before.successes).all()


def test_arms_succeed_with_their_probability() -> None:
    strategy = Published(Uniform(), every=1_000)
    [*_, last] = run(FOUR_ARMS, strategy, decisions=10_000, runs=50, rng=np.random.default_rng(2))
    for arm, mean in enumerate(FOUR_ARMS.means.tolist()):
        successes, trials = int(last.successes[:, arm].sum()), int(last.trials[:, arm].sum())
        assert stats.binomtest(successes, trials, mean).pvalue > SMALLEST_P


@pytest.mark.parametrize("policy", every_policy(arms=4), ids=lambda policy: policy.name)
def test_every_registered_policy_can_be_simulated(policy: Policy) -> None:
    strategy = Published(policy, every=20, min_weight=0.02)
    [*_, last] = run(FOUR_ARMS, strategy, decisions=100, runs=5, rng=np.random.default_rng(6))
    assert (last.trials.sum(axis=1) == 100).all()


@pytest.mark.parametrize(("alpha", "beta"), BELIEFS)
def test_all_runs_at_once_get_the_weights_the_policy_proposes_for_each(alpha: list[float], beta: list[float]) -> None:
    rows_alpha, rows_beta = np.array([alpha, alpha[::-1]]), np.array([beta, beta[::-1]])
    weights = Published(Thompson()).weights(rows_alpha, rows_beta)
    arms = tuple(map(str, range(len(alpha))))
    for row in range(2):
        proposed = Thompson().propose(Beliefs(arms, rows_alpha[row], rows_beta[row])).weights
        assert weights[row] == pytest.approx(proposed, abs=1e-8)


@pytest.mark.parametrize("min_weight", [0.05, 0.2, 0.25])
def test_a_floor_holds_for_every_arm_of_every_run(min_weight: float) -> None:
    rng = np.random.default_rng(7)
    alpha, beta = rng.uniform(1, 50, (30, 4)), rng.uniform(1, 500, (30, 4))
    free = Published(Thompson()).weights(alpha, beta)
    floored = Published(Thompson(), min_weight=min_weight).weights(alpha, beta)
    assert (free < min_weight).any()
    assert (floored >= min_weight - 1e-12).all()
    assert floored.sum(axis=1) == pytest.approx(np.ones(30))


@pytest.mark.parametrize("means", [[], [0.5, 1.1], [-0.1], [float("nan")], 0.5, [[[0.5]]]])
def test_an_environment_needs_means_in_0_1(means: list[float]) -> None:
    with pytest.raises(ValueError, match="means must be probabilities"):
        BernoulliEnvironment(np.array(means))


def test_every_run_can_have_its_own_means() -> None:
    environment = BernoulliEnvironment(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    strategy = Published(Fixed({"0": 1.0}), every=10)
    [last] = run(environment, strategy, decisions=10, runs=3, rng=np.random.default_rng(1))
    assert last.successes[:2, 0].tolist() == [10, 0]
    with pytest.raises(ValueError, match="means for 3 runs, but runs is 4"):
        next(run(environment, strategy, decisions=10, runs=4, rng=np.random.default_rng(1)))


def test_sizes_below_1_are_refused_by_name() -> None:
    rng, strategy = np.random.default_rng(0), Published(Uniform())
    with pytest.raises(ValueError, match="every must be"):
        Published(Uniform(), every=0)
    with pytest.raises(ValueError, match="decisions must be"):
        next(run(FOUR_ARMS, strategy, decisions=0, runs=1, rng=rng))
    with pytest.raises(ValueError, match="runs must be"):
        next(run(FOUR_ARMS, strategy, decisions=1, runs=0, rng=rng))
