"""What linear models say of a context's scores."""

import numpy as np
import pytest

from bandit_core.contextual import LinearBeliefs
from bandit_core.linear import LinearArm, LinearPrior

PRIOR = LinearPrior(3)


def learnt(seed: int) -> LinearArm:
    rng = np.random.default_rng(seed)
    arm = LinearArm.of(PRIOR)
    for x in rng.normal(size=(20, 3)):
        arm = arm.update(PRIOR, x, float(rng.random()), 0.0)
    return arm


def test_scores_are_the_mean_and_deviation_of_coefficients_times_context() -> None:
    models = {"a": learnt(1), "b": learnt(2)}
    x = np.array([0.3, -2.0, 1.0])
    mean, sd = LinearBeliefs.of(models).scores(x)
    np.testing.assert_allclose(mean, [x @ arm.mean for arm in models.values()], rtol=1e-12)
    np.testing.assert_allclose(sd**2, [x @ arm.covariance @ x for arm in models.values()], rtol=1e-12)


def test_many_contexts_score_as_each_of_them() -> None:
    beliefs = LinearBeliefs.of({"a": learnt(1), "b": learnt(2)})
    contexts = np.random.default_rng(3).normal(size=(5, 3))
    mean, sd = beliefs.scores(contexts)
    alone = [beliefs.scores(x) for x in contexts]
    np.testing.assert_allclose(mean, [each for each, _ in alone], rtol=1e-12)
    np.testing.assert_allclose(sd, [each for _, each in alone], rtol=1e-12)


def test_an_arm_without_data_scores_0_and_is_as_uncertain_as_the_context_is_long() -> None:
    mean, sd = LinearBeliefs.of({"new": LinearArm.of(LinearPrior(2, ridge=4.0))}).scores(np.array([3.0, 4.0]))
    assert (mean.tolist(), sd.tolist()) == ([0.0], [2.5])


def test_a_variance_that_rounding_left_below_0_is_0() -> None:
    beliefs = LinearBeliefs(("a",), np.zeros((1, 2)), np.array([[[1.0, -1.0], [-1.0, 1.0 - 1e-16]]]))
    _, sd = beliefs.scores(np.array([1.0, 1.0]))
    assert sd.tolist() == [0.0]


def test_a_subset_keeps_the_given_order() -> None:
    beliefs = LinearBeliefs.of({"a": learnt(1), "b": learnt(2), "c": learnt(3)})
    subset = beliefs.subset(["c", "a"])
    assert subset.arms == ("c", "a")
    assert np.array_equal(subset.theta, beliefs.theta[[2, 0]])
    assert np.array_equal(subset.covariance, beliefs.covariance[[2, 0]])


def test_an_arm_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        LinearBeliefs.of({"a": learnt(1)}).subset(["b"])


@pytest.mark.parametrize(
    ("arms", "theta", "covariance", "message"),
    [
        ((), (0, 2), (0, 2, 2), "beliefs need at least one arm, and ids that differ"),
        (("a", "a"), (2, 2), (2, 2, 2), "ids that differ"),
        (("a",), (2, 2), (2, 2, 2), r"theta must have the shape \(1, d\), got \(2, 2\)"),
        (("a",), (1,), (1, 1, 1), r"theta must have the shape \(1, d\), got \(1,\)"),
        (("a",), (1, 2), (1, 2, 3), r"covariance must have the shape \(1, 2, 2\), got \(1, 2, 3\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    arms: tuple[str, ...], theta: tuple[int, ...], covariance: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LinearBeliefs(arms, np.zeros(theta), np.zeros(covariance))
