"""The vector of every segment: its arms' beliefs, drawn towards what all segments say of the arm."""

from __future__ import annotations

import numpy as np

from bandit_core.policies.base import Beliefs
from bandit_core.rules.experiment import MICRO, Experiment
from bandit_core.rules.vectors import floored
from bandit_core.segments import shrink
from bandit_service.domain.totals import Totals


def segment_weights(experiment: Experiment, totals: Totals) -> dict[str, dict[str, float]]:
    """Return the weights of every segment by its name."""
    arms, names = experiment.active_arms, experiment.segments
    trials, successes = np.zeros((2, len(names), len(arms)))
    for place, arm in enumerate(arms):
        for segment, name in enumerate(names):
            trials[segment, place] = totals.segment_rewards.get((name, arm.index), 0)
            successes[segment, place] = totals.segment_micro.get((name, arm.index), 0) / MICRO
    priors = np.array([[arm.prior_alpha_micro / MICRO, arm.prior_beta_micro / MICRO] for arm in arms])
    shrunk = shrink(successes, trials, priors)
    ids = tuple(arm.id for arm in arms)
    return {
        name: floored(experiment, Beliefs(ids, shrunk.alpha[segment], shrunk.beta[segment]))
        for segment, name in enumerate(names)
    }
