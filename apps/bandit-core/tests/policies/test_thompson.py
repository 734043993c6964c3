"""Thompson sampling: the weights are the frequencies of 'sample every posterior, take the argmax'."""

import numpy as np
from scipy.stats import chisquare

from bandit_core.policies.base import Beliefs
from bandit_core.policies.thompson import Thompson


def test_weights_are_the_frequencies_of_argmax_of_posterior_samples() -> None:
    """Chi-square test over 200,000 draws with a fixed seed, failing below p = 1e-4."""
    alpha, beta = np.array([12.0, 15.0, 9.0, 2.0]), np.array([100.0, 110.0, 100.0, 10.0])
    weights = Thompson().propose(Beliefs(("a", "b", "c", "d"), alpha, beta)).weights
    samples = np.random.default_rng(7).beta(alpha, beta, size=(200_000, 4))
    counts = np.bincount(samples.argmax(axis=1), minlength=4)
    assert chisquare(counts, weights / weights.sum() * counts.sum()).pvalue > 1e-4


def test_numbers_are_the_probabilities_themselves() -> None:
    proposal = Thompson().propose(Beliefs(("a", "b"), np.array([2.0, 3.0]), np.array([5.0, 5.0])))
    assert proposal.numbers["prob_best"].tolist() == proposal.weights.tolist()
