"""A contextual policy as people see it: the average of the vectors that contexts of late would be given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bandit_core.allocation import Allocation
from bandit_core.contextual import ContextualPolicy, LinearBeliefs, linear_weights
from bandit_core.policies.base import ArmBeliefs, Policy, Proposal
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.vectors import contextual_policy_of, floor_of
from bandit_service.allocation.linear_models import Models


@dataclass(frozen=True)
class MarginalPolicy:
    """Proposes the average of the vectors for contexts (N, d); requests have vectors of their own."""

    name: ClassVar[str] = "averaged"
    title: ClassVar[str] = "the average over contexts"

    policy: ContextualPolicy
    models: LinearBeliefs
    contexts: NDArray[np.float64]
    floor: float

    def propose(self, beliefs: ArmBeliefs) -> Proposal:
        models = self.models.subset(beliefs.arms)
        return Proposal(linear_weights(self.policy, models, self.contexts, self.floor).mean(axis=0))


def averaged(experiment: Experiment, models: Models) -> Policy:
    """Return a policy that proposes the average vector; before any context, that of one of zeros."""
    intercept = 1 if experiment.context is not None and experiment.context.intercept else 0
    contexts = models.contexts if models.contexts.size else np.zeros((1, experiment.dimension - intercept))
    vectors = np.hstack([contexts, np.ones((len(contexts), intercept))])
    return MarginalPolicy(contextual_policy_of(experiment), models.record.beliefs, vectors, floor_of(experiment))


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
