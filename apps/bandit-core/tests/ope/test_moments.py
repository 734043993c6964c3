from collections.abc import Callable
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandit_core.ope.estimators import ESTIMATORS, Contributions, Method
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.moments import Moments
from bandit_core.ope.rounds import EvaluationInput
from bandit_core.ope.tables import ArmTable, ArmValues

type Floats = NDArray[np.float64]
type MakeProblem = Callable[..., tuple[LoggedDecisions, Floats, Floats]]

METHODS = [Method(name, 2.0 if found.threshold == "required" else None) for name, found in ESTIMATORS.items()]


def moments_of(method: Method, log: LoggedDecisions, target: ArmValues, q_hat: ArmValues) -> Moments:
    rounds = EvaluationInput.of(log, target, q_hat).rounds()
    return Moments.of(rounds, method.contribute(rounds))


def influence(contributed: Contributions) -> Floats:
    baseline, gain, share = contributed.columns()
    ratio = gain.sum() / share.sum()
    return np.asarray(baseline - baseline.mean() + (gain - ratio * share) / share.mean())


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_standard_error_is_that_of_the_mean_influence(make_problem: MakeProblem, method: Method) -> None:
    log, target, q_hat = make_problem()
    contributed = method.contribute(EvaluationInput.of(log, target, q_hat).rounds())
    moments = moments_of(method, log, target, q_hat)
    baseline, gain, share = contributed.columns()
    assert moments.estimate == pytest.approx(baseline.mean() + gain.sum() / share.sum())
    assert moments.std_error == pytest.approx(influence(contributed).std(ddof=1) / np.sqrt(len(log)))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_effective_sizes_are_those_of_the_weights_as_used(make_problem: MakeProblem, method: Method) -> None:
    log, target, q_hat = make_problem()
    weights = method.contribute(EvaluationInput.of(log, target, q_hat).rounds()).weights
    moments = moments_of(method, log, target, q_hat)
    if weights is None:
        assert (moments.ess, moments.effective_rewarded) == (len(log), len(log))
    else:
        earned = weights * log.rewards
        assert moments.ess == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
        assert moments.effective_rewarded == pytest.approx(earned.sum() ** 2 / (earned**2).sum())
        assert moments.largest_weight == weights.max()
        assert (moments.matches, moments.rewarded) == (int((weights > 0).sum()), int((earned > 0).sum()))
        assert moments.mean_weight_std_error == pytest.approx(weights.std(ddof=1) / np.sqrt(len(log)))


@given(st.data())
def test_parts_merge_to_the_whole_in_any_cut(make_problem: MakeProblem, data: st.DataObject) -> None:
    log, target, q_hat = make_problem(n=60)
    method = data.draw(st.sampled_from(METHODS))
    cuts = sorted(data.draw(st.sets(st.integers(1, 59), max_size=5)))
    parts = [
        moments_of(method, log.rows(part), ArmTable(target[part], by_round=True), ArmTable(q_hat[part], by_round=True))
        for part in map(slice, [0, *cuts], [*cuts, 60])
    ]
    merged, whole = reduce(Moments.merge, parts), moments_of(method, log, target, q_hat)
    assert merged.n == whole.n
    np.testing.assert_allclose(merged.means, whole.means, rtol=1e-12)
    np.testing.assert_allclose(merged.products, whole.products, rtol=1e-9, atol=1e-12)
    assert merged.largest_weight == whole.largest_weight
    assert (merged.matches, merged.rewarded) == (whole.matches, whole.rewarded)


def test_a_large_common_part_of_all_rewards_does_not_drown_the_error(make_problem: MakeProblem) -> None:
    log, target, q_hat = make_problem()
    method = Method("snipw")
    far = LoggedDecisions(log.arms, log.rewards + 1e4, log.propensities, log.n_arms, log.positions, log.n_positions)
    expected = moments_of(method, log, target, q_hat).std_error
    assert moments_of(method, far, target, q_hat).std_error == pytest.approx(expected, rel=1e-6)


def test_without_a_positive_weight_a_ratio_is_not_a_number() -> None:
    log = LoggedDecisions(np.zeros(3, dtype=int), np.ones(3), np.ones(3), n_arms=2)
    target, q_hat = np.array([0.0, 1.0]), np.zeros(2)
    ratio, mean = (moments_of(Method(name), log, target, q_hat) for name in ("snipw", "ipw"))
    assert np.isnan([ratio.estimate, ratio.std_error]).all()
    assert (mean.estimate, mean.std_error, mean.ess, mean.accepted) == (0.0, 0.0, 0.0, 0.0)


def test_one_round_has_no_standard_error() -> None:
    log = LoggedDecisions(np.array([0]), np.ones(1), np.ones(1), n_arms=1)
    moments = moments_of(Method("ipw"), log, np.ones(1), np.zeros(1))
    assert np.isnan([moments.std_error, moments.mean_weight_std_error]).all()
