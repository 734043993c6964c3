"""From totals to weights: a pure function of what was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandit_core.allocation import Allocation, ArmState, allocate
from bandit_core.holdout import Side, prob_better
from bandit_core.policies.base import ArmBeliefs
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import MICRO, ArmDefinition, Experiment
from bandit_core.rules.vectors import beliefs_about, guardrails_of, policy_of, stopping_rule
from bandit_core.stopping import Verdict
from bandit_service.allocation.linear_models import Models
from bandit_service.allocation.marginal_policy import averaged, explained
from bandit_service.allocation.segment_weights import segment_weights
from bandit_service.domain.totals import Totals

FAST_UPDATES = 0.1
# Every segment's vector is computed anew, every arm's model read by every replica, or t distributions integrated.
MANY_UPDATES = 1.0
LIMITED_UPDATES = 60.0
_SAME_WEIGHT = 1e-12
_MATERIAL_CHANGE = 0.01


@dataclass(frozen=True, slots=True)
class Posterior:
    """The two sums of an arm, and how often it was decided for and rewarded.

    They are alpha and beta of its Beta posterior; or, if gaussian, the rewards in units and their squares.
    """

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
        """What the rewards in [0, 1] add up to: the posterior without its prior."""
        return (round(self.alpha * MICRO) - self.arm.prior_alpha_micro) / MICRO

    def parameters(self, experiment: Experiment) -> tuple[float, ...]:
        """Return what beliefs about the arm are made of."""
        return (self.rewards, self.alpha, self.beta) if experiment.is_gaussian else (self.alpha, self.beta)


def posteriors(experiment: Experiment, totals: Totals) -> tuple[Posterior, ...]:
    """Return the posterior of every arm, retired ones too, in the order of their index."""
    return tuple(
        Posterior(
            arm,
            totals.alpha_micro(experiment, arm.index) / MICRO,
            totals.beta_micro(experiment, arm.index) / MICRO,
            totals.decisions.get(arm.index, 0),
            totals.rewards.get(arm.index, 0),
        )
        for arm in experiment.arms
    )


def beliefs_of(experiment: Experiment, posteriors: Sequence[Posterior]) -> ArmBeliefs:
    """Return the beliefs about the arms that can be served."""
    active = [posterior for posterior in posteriors if posterior.arm.status == "active"]
    parameters = np.array([posterior.parameters(experiment) for posterior in active])
    return beliefs_about(experiment, [posterior.arm.id for posterior in active], parameters)


def update_every(experiment: Experiment) -> float:
    """Return the least time between two updates, in seconds: step limits and cooldowns are meant per update."""
    if experiment.update_every is not None:
        return experiment.update_every
    guardrails = guardrails_of(experiment.guardrails, len(experiment.active_arms))
    if guardrails.max_step < 1.0 or guardrails.cooldown > 0.0:
        return LIMITED_UPDATES
    takes_longer = experiment.segment_by or experiment.is_contextual or experiment.is_gaussian
    return MANY_UPDATES if takes_longer else FAST_UPDATES


def compute(
    experiment: Experiment,
    totals: Totals,
    previous: AllocationRecord | None,
    now: float,
    models: Models | None = None,
) -> tuple[AllocationRecord, Allocation]:
    """Return the next allocation of an experiment and its explanation; `models` are those of a contextual one.

    Its version is the one after `previous`: the ledger gives a later one if that was used.
    """
    active = [posterior for posterior in posteriors(experiment, totals) if posterior.arm.status == "active"]
    allocation = allocate(
        arms=[
            ArmState(each.arm.id, each.alpha, each.beta, each.rewards, newcomer=each.arm.newcomer) for each in active
        ],
        policy=policy_of(experiment) if models is None else averaged(experiment, models),
        guardrails=guardrails_of(experiment.guardrails, len(active)),
        previous=None if previous is None else dict(previous.weights),
        seconds_since_change=None if previous is None else max(0.0, now - previous.changed_at),
        beliefs=beliefs_of(experiment, active),
    )
    if models is not None:
        allocation = explained(experiment, models, allocation)
    names = list(allocation.weights)
    record = AllocationRecord(
        version=1 if previous is None else previous.version + 1,
        revision=experiment.revision,
        published_at=now,
        changed_at=now if previous is None or _moved(previous, allocation) else previous.changed_at,
        weights=allocation.weights,
        prob_best=dict(zip(names, allocation.best_arm.prob_best.tolist(), strict=True)),
        expected_loss=dict(zip(names, allocation.best_arm.expected_loss.tolist(), strict=True)),
        beliefs={each.arm.id: each.parameters(experiment) for each in active},
        segments=segment_weights(experiment, totals) if experiment.segment_by else {},
    )
    return record, allocation


def is_material(record: AllocationRecord, last: AllocationRecord | None) -> bool:
    """Say whether an allocation differs enough from the last one kept to be kept as well."""
    if last is None or last.revision != record.revision or last.weights.keys() != record.weights.keys():
        return True
    return any(abs(weight - last.weights[arm]) >= _MATERIAL_CHANGE for arm, weight in record.weights.items())


def judge(experiment: Experiment, totals: Totals, now: float, beliefs: ArmBeliefs | None = None) -> Verdict | None:
    """Return what the stopping rule says now; None for an experiment without one.

    `beliefs`, where they are at hand, are those of the totals: their P(best) is computed once.
    """
    rule = experiment.stopping
    if rule is None:
        return None
    known = posteriors(experiment, totals)
    # Where a missing reward is a zero, a decision says nothing before its window has closed.
    closes = experiment.missing_reward == "zero"
    decisions = {each.arm.id: min(each.decisions, each.rewards) if closes else each.decisions for each in known}
    elapsed = max(0.0, now - experiment.created_at)
    better = None if rule.prob_better is None else prob_better(*sides(known, totals))
    return stopping_rule(rule).evaluate(beliefs or beliefs_of(experiment, known), decisions, elapsed, better)


def sides(known: Sequence[Posterior], totals: Totals) -> tuple[Side, Side]:
    """Return the rewards of the bandit and of the holdout, which got the control."""
    bandit = Side(sum(each.rewards for each in known), sum(each.reward_sum for each in known))
    return bandit, Side(totals.holdout_rewards, totals.holdout_reward_micro / MICRO)


def _moved(previous: AllocationRecord, allocation: Allocation) -> bool:
    if previous.weights.keys() != allocation.weights.keys():
        return True
    return any(abs(weight - previous.weights[arm]) > _SAME_WEIGHT for arm, weight in allocation.weights.items())
