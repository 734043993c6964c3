"""From the counts in the store to weights: a pure function of what was read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bandit_core.allocation import Allocation, ArmState, allocate
from bandit_core.guardrails import Guardrails, preset
from bandit_core.policies import make_policy
from bandit_core.policies.base import Beliefs
from bandit_core.stopping import StoppingRule, Verdict
from bandit_service.allocator.record import AllocationRecord
from bandit_service.experiments.definition import MICRO, ArmDefinition, Experiment, GuardrailsDefinition
from bandit_service.redis_store.state import BeliefCounts

FAST_UPDATES = 0.1
LIMITED_UPDATES = 60.0
_SAME_WEIGHT = 1e-12
_MATERIAL_CHANGE = 0.01


@dataclass(frozen=True, slots=True)
class Posterior:
    """The Beta posterior of an arm, and how often it was decided for and rewarded."""

    arm: ArmDefinition
    alpha: float
    beta: float
    decisions: int
    rewards: int

    @property
    def mean(self) -> float:
        return self.alpha / (self.alpha + self.beta)

    @property
    def reward_sum(self) -> float:
        """What the rewards add up to: the posterior without its prior."""
        return self.alpha - self.arm.prior_alpha_micro / MICRO


def posteriors(experiment: Experiment, counts: BeliefCounts) -> tuple[Posterior, ...]:
    """Return the posterior of every arm, retired ones too, in the order of their index."""
    return tuple(
        Posterior(
            arm,
            (_or(counts.alpha_micro, arm.index) or arm.prior_alpha_micro) / MICRO,
            (_or(counts.beta_micro, arm.index) or arm.prior_beta_micro) / MICRO,
            counts.state.decisions.get(arm.index, 0),
            counts.state.rewards.get(arm.index, 0),
        )
        for arm in experiment.arms
    )


def beliefs_of(posteriors: tuple[Posterior, ...]) -> Beliefs:
    """Return the beliefs about the arms that can be served."""
    active = [posterior for posterior in posteriors if posterior.arm.status == "active"]
    return Beliefs(
        tuple(posterior.arm.id for posterior in active),
        np.array([posterior.alpha for posterior in active]),
        np.array([posterior.beta for posterior in active]),
    )


def guardrails_of(definition: GuardrailsDefinition, active_arms: int) -> Guardrails:
    """Return the preset's limits for that many arms, with those that the definition replaces."""
    limits = {
        name: value
        for name in ("min_trials", "max_step", "min_weight", "cooldown")
        if (value := getattr(definition, name)) is not None
    }
    return replace(preset(definition.preset, active_arms), **limits)


def update_every(experiment: Experiment) -> float:
    """Return the least time between two updates, in seconds: step limits and cooldowns are meant per update."""
    if experiment.update_every is not None:
        return experiment.update_every
    guardrails = guardrails_of(experiment.guardrails, len(experiment.active_arms))
    return LIMITED_UPDATES if guardrails.max_step < 1.0 or guardrails.cooldown > 0.0 else FAST_UPDATES


def compute(
    experiment: Experiment, counts: BeliefCounts, previous: AllocationRecord | None, now: float
) -> tuple[AllocationRecord, Allocation]:
    """Return the next allocation of an experiment and its explanation."""
    active = [posterior for posterior in posteriors(experiment, counts) if posterior.arm.status == "active"]
    allocation = allocate(
        arms=[
            ArmState(each.arm.id, each.alpha, each.beta, each.rewards, newcomer=each.arm.newcomer) for each in active
        ],
        policy=make_policy(experiment.policy.name, experiment.policy.params),
        guardrails=guardrails_of(experiment.guardrails, len(active)),
        previous=None if previous is None else dict(previous.weights),
        seconds_since_change=None if previous is None else max(0.0, now - previous.changed_at),
    )
    names = list(allocation.weights)
    record = AllocationRecord(
        version=counts.state.weights_version + 1,
        epoch=counts.state.epoch or 0,
        revision=experiment.revision,
        belief_version=counts.state.version,
        seq=counts.state.seq,
        published_at=now,
        changed_at=now if previous is None or _moved(previous, allocation) else previous.changed_at,
        weights=allocation.weights,
        prob_best=dict(zip(names, allocation.best_arm.prob_best.tolist(), strict=True)),
        expected_loss=dict(zip(names, allocation.best_arm.expected_loss.tolist(), strict=True)),
    )
    return record, allocation


def is_material(record: AllocationRecord, last: AllocationRecord | None) -> bool:
    """Say whether an allocation differs enough from the last one kept to be kept as well."""
    if last is None or last.revision != record.revision or last.weights.keys() != record.weights.keys():
        return True
    return any(abs(weight - last.weights[arm]) >= _MATERIAL_CHANGE for arm, weight in record.weights.items())


def judge(experiment: Experiment, counts: BeliefCounts, now: float) -> Verdict | None:
    """Return what the stopping rule says now; None for an experiment without one."""
    rule = experiment.stopping
    if rule is None:
        return None
    known = posteriors(experiment, counts)
    # Where a missing reward is a zero, a decision says nothing before its window has closed.
    closes = experiment.missing_reward == "zero"
    stopping = StoppingRule(
        min_decisions=rule.min_decisions,
        min_decisions_per_arm=rule.min_decisions_per_arm,
        prob_best=rule.prob_best,
        expected_loss=rule.expected_loss,
        combine=rule.combine,
        max_duration=rule.max_duration,
    )
    decisions = {each.arm.id: min(each.decisions, each.rewards) if closes else each.decisions for each in known}
    return stopping.evaluate(beliefs_of(known), decisions, max(0.0, now - experiment.created_at))


def _or(values: tuple[int | None, ...], index: int) -> int | None:
    return values[index] if index < len(values) else None


def _moved(previous: AllocationRecord, allocation: Allocation) -> bool:
    if previous.weights.keys() != allocation.weights.keys():
        return True
    return any(abs(weight - previous.weights[arm]) > _SAME_WEIGHT for arm, weight in allocation.weights.items())
