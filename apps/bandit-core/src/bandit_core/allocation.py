"""From beliefs to weights: what the policy proposes, within what the guardrails allow, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandit_core.best_arm import BestArm
from bandit_core.explanation import ArmExplanation, Bound, Explanation
from bandit_core.guardrails import Guardrails, project
from bandit_core.policies.base import ArmBeliefs, Beliefs, Policy, Proposal
from bandit_core.policies.registry import policy_parameters
from bandit_core.update import ROUNDING, ArmState, Update, WeightLimits, Weights

__all__ = ["Allocation", "ArmState", "Explanation", "allocate"]


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """Weights by arm id, which are the propensities of decisions drawn from them, and their whole account.

    `beliefs` are those the weights were computed from, with P(best) and expected loss of all arms already worked out
    when the policy needed them: hand them on to the stopping rule.
    """

    weights: dict[str, float]
    explanation: Explanation
    beliefs: ArmBeliefs

    @property
    def best_arm(self) -> BestArm:
        return self.beliefs.best_arm


def allocate(
    *,
    arms: Sequence[ArmState],
    policy: Policy,
    guardrails: Guardrails,
    previous: Mapping[str, float] | None,
    seconds_since_change: float | None,
    beliefs: ArmBeliefs | None = None,
) -> Allocation:
    """Return the weights of one update: the policy's proposal, projected onto what the guardrails allow.

    `previous` holds the weights in force, summing to 1; None at the first allocation. An arm missing there has joined,
    an arm only there has left. `seconds_since_change` counts from the last change of weights; None if there was none.
    `beliefs` about the same arms, in their order, take the place of the arms' alpha and beta.

    - The weights sum to 1 and none is ever below `min_weight`.
    - While `min_trials` or `cooldown` holds, weights stay exactly as they were. The first weights under such a hold
      are equal.
    - An arm that joins enters at `min_weight` at once, even during a hold, and stays there until it has `min_trials`
      rewards, while the others move on. With a `min_weight` of 0 it cannot wait there: it follows the policy from
      its second update on.
    - Weights that joining or leaving arms take or free come from and go to the others: in proportion during a hold,
      else within `max_step`, which is relaxed for this update by as little as makes it possible, and recorded. The same
      goes for an arm found below `min_weight`, when that was raised.

    Raises InfeasibleLimits when `min_weight` cannot be given to every arm, ValueError for arms, beliefs or previous
    weights that make no sense.
    """
    guardrails.check_feasible(len(arms))
    if beliefs is None:
        beliefs = _beta_beliefs(arms)
    elif beliefs.arms != tuple(arm.id for arm in arms):
        raise ValueError(f"beliefs must be about the arms, in their order, but they are about {beliefs.arms}")
    update = Update(arms, guardrails, previous or {}, seconds_since_change)
    proposal = _propose(policy, beliefs.subset(update.in_play))
    target, limits = update.target(proposal.weights), update.limits()
    weights = project(target, limits.lower, limits.upper)
    explanation = Explanation(
        strategy=policy.name,
        title=policy.title,
        parameters=policy_parameters(policy),
        guardrails=guardrails,
        arms=_explain_arms(update, beliefs, proposal, target, limits, weights),
        first=update.first,
        holds=update.holds,
        joined=update.joined,
        left=update.left,
        waiting=update.waiting,
        relaxation=limits.relaxation,
        scale="rate" if isinstance(beliefs, Beliefs) else "value",
    )
    return Allocation(dict(zip(beliefs.arms, weights.tolist(), strict=True)), explanation, beliefs)


def _beta_beliefs(arms: Sequence[ArmState]) -> Beliefs:
    return Beliefs(
        tuple(arm.id for arm in arms),
        np.array([arm.alpha for arm in arms], dtype=np.float64),
        np.array([arm.beta for arm in arms], dtype=np.float64),
    )


def _propose(policy: Policy, beliefs: ArmBeliefs) -> Proposal:
    proposal = policy.propose(beliefs)
    if proposal.weights.shape != (len(beliefs.arms),):
        raise ValueError(
            f"policy {policy.name!r} proposed {len(proposal.weights)} weights for {len(beliefs.arms)} arms"
        )
    return proposal


def _explain_arms(
    update: Update, beliefs: ArmBeliefs, proposal: Proposal, target: Weights, limits: WeightLimits, weights: Weights
) -> tuple[ArmExplanation, ...]:
    columns = (beliefs.mean, target, update.in_play, limits.lower, limits.upper, weights)
    rows = zip(update.arms, *(column.tolist() for column in columns), limits.lower_by, limits.upper_by, strict=True)
    numbers = iter(_by_arm(proposal))
    return tuple(
        ArmExplanation(
            id=arm.id,
            trials=float(arm.trials),
            mean=mean,
            numbers=next(numbers) if in_play else {},
            proposed=wanted if in_play else None,
            previous=update.before.get(arm.id),
            lower=lower,
            upper=upper,
            bound=_bound(weight, wanted if in_play else None, lower, upper, lower_by, upper_by),
            weight=weight,
        )
        for arm, mean, wanted, in_play, lower, upper, weight, lower_by, upper_by in rows
    )


def _by_arm(proposal: Proposal) -> list[dict[str, float]]:
    """Turn one column per number into one record per arm."""
    names, columns = tuple(proposal.numbers), [column.tolist() for column in proposal.numbers.values()]
    if not names:
        return [{}] * len(proposal.weights)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _bound(
    weight: float, proposed: float | None, lower: float, upper: float, lower_by: Bound | None, upper_by: Bound | None
) -> Bound | None:
    """Return the guardrail an arm was stopped by: the one whose limit it is at, unless it wanted to be there."""
    if proposed is not None and abs(weight - proposed) <= ROUNDING:
        return None
    if lower == upper:
        return upper_by if proposed is None or proposed > weight else lower_by
    return upper_by if weight == upper else lower_by if weight == lower else None
