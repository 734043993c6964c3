"""What every vector of an experiment is computed with: its policy, its limits, its beliefs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bandit_core.contextual import ContextualPolicy, make_contextual_policy
from bandit_core.gaussian import GaussianBeliefs, GaussianPrior
from bandit_core.guardrails import Guardrails, preset, project
from bandit_core.linear import LinearPrior
from bandit_core.policies import make_policy
from bandit_core.policies.base import ArmBeliefs, Beliefs, Policy
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import Experiment, GuardrailsDefinition, StoppingDefinition
from bandit_core.stopping import StoppingRule


def policy_of(experiment: Experiment) -> Policy:
    return make_policy(experiment.policy.name, experiment.policy.params)


def contextual_policy_of(experiment: Experiment) -> ContextualPolicy:
    return make_contextual_policy(experiment.policy.name, experiment.policy.params)


def linear_prior_of(experiment: Experiment) -> LinearPrior:
    policy = contextual_policy_of(experiment)
    return LinearPrior(experiment.dimension, policy.ridge, policy.half_life)


def guardrails_of(definition: GuardrailsDefinition, active_arms: int) -> Guardrails:
    """Return the preset's limits for that many arms, with those that the definition replaces."""
    limits = {
        name: value
        for name in ("min_trials", "max_step", "min_weight", "cooldown")
        if (value := getattr(definition, name)) is not None
    }
    return replace(preset(definition.preset, active_arms), **limits)


def stopping_rule(definition: StoppingDefinition) -> StoppingRule:
    """Return the rule of a definition; raise ValueError if it has no condition that can ever hold."""
    return StoppingRule(
        min_decisions=definition.min_decisions,
        min_decisions_per_arm=definition.min_decisions_per_arm,
        prob_best=definition.prob_best,
        expected_loss=definition.expected_loss,
        prob_better=definition.prob_better,
        combine=definition.combine,
        max_duration=definition.max_duration,
    )


def floor_of(experiment: Experiment) -> float:
    """Return the least weight of an arm, which is the only limit of vectors that are computed for a request."""
    return guardrails_of(experiment.guardrails, len(experiment.active_arms)).min_weight


def has_only_floors(experiment: Experiment) -> bool:
    """Say whether the guardrails limit nothing but the least weight of an arm."""
    limits = guardrails_of(experiment.guardrails, len(experiment.active_arms))
    return limits.max_step >= 1.0 and limits.cooldown <= 0.0 and limits.min_trials == 0


def beliefs_about(experiment: Experiment, arms: Collection[str], parameters: NDArray[np.float64]) -> ArmBeliefs:
    """Return beliefs from the parameters of each arm: alpha and beta; or count, sum and sum of squares if gaussian."""
    if experiment.is_gaussian:
        return gaussian_beliefs(experiment, arms, parameters)
    return Beliefs(tuple(arms), parameters[:, 0], parameters[:, 1])


def gaussian_beliefs(experiment: Experiment, arms: Collection[str], parameters: NDArray[np.float64]) -> GaussianBeliefs:
    """Return beliefs from the count, sum and sum of squares of each arm's rewards (K, 3).

    The sums and the prior are in units, the beliefs in what rewards are sent in: so is all that follows from them.
    """
    rewards = experiment.rewards
    prior = GaussianPrior(rewards.mean, rewards.strength, rewards.shape, rewards.scale)
    beliefs = GaussianBeliefs.of(tuple(arms), prior, *parameters.T)
    return replace(beliefs, mean=beliefs.mean * rewards.unit, scale=beliefs.scale * rewards.unit)


def subset_weights(
    experiment: Experiment, allocation: AllocationRecord | None, eligible: Collection[str]
) -> dict[str, float] | None:
    """Return the vector of a subset of the arms from the beliefs the published one came from; None without them."""
    if allocation is None:
        return None
    arms = [name for name in allocation.weights if name in eligible and name in allocation.beliefs]
    if len(arms) < len(eligible):
        return None
    beliefs = beliefs_about(experiment, arms, np.array([allocation.beliefs[name] for name in arms]))
    return floored(experiment, beliefs)


def floored(experiment: Experiment, beliefs: ArmBeliefs) -> dict[str, float]:
    """Return what the policy proposes for beliefs, with no arm below its least weight."""
    proposal = policy_of(experiment).propose(beliefs)
    weights = project(proposal.weights, floor_of(experiment))
    return {name: weight for name, weight in zip(beliefs.arms, weights.tolist(), strict=True) if weight > 0.0}
