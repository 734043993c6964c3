"""A contextual policy as people see it: the average of the vectors that contexts of late would be given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bandit_core.allocation import Allocation
from bandit_core.contextual import linear_weights
from bandit_core.policies.base import ArmBeliefs, Policy, Proposal
from bandit_service.allocator.linear_fold import Models
from bandit_service.allocator.vectors import contextual_policy_of, floor_of
from bandit_service.experiments.definition import Experiment


@dataclass(frozen=True)
class Averaged:
    """Proposes what was computed already: requests have vectors of their own."""

    name: ClassVar[str] = "averaged"
    title: ClassVar[str] = "the average over contexts"

    weights: NDArray[np.float64]

    def propose(self, beliefs: ArmBeliefs) -> Proposal:
        del beliefs
        return Proposal(self.weights)


def averaged(experiment: Experiment, models: Models) -> Policy:
    """Return a policy that proposes the average vector; before any context, that of one of zeros."""
    policy, floor = contextual_policy_of(experiment), floor_of(experiment)
    intercept = 1 if experiment.context is not None and experiment.context.intercept else 0
    contexts = models.contexts if models.contexts.size else np.zeros((1, experiment.dimension - intercept))
    vectors = np.hstack([contexts, np.ones((len(contexts), intercept))])
    beliefs = models.record.beliefs.subset([arm.id for arm in experiment.active_arms])
    weights = np.mean([linear_weights(policy, beliefs, x, floor) for x in vectors], axis=0)
    return Averaged(weights)


def explained(experiment: Experiment, models: Models, allocation: Allocation) -> Allocation:
    """Return the allocation with an account that names the policy, and says what its weights are the average of."""
    policy, contexts = contextual_policy_of(experiment), len(models.contexts)
    over = f"averaged over the last {contexts} contexts" if contexts else "for a context of zeros"
    explanation = replace(
        allocation.explanation,
        strategy=policy.name,
        title=f"{policy.title}, {over}",
        parameters=dict(experiment.policy.params),
    )
    return replace(allocation, explanation=explanation)
