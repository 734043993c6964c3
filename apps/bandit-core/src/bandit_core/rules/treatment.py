"""What becomes of a decision, an activation and a reward: whether it counts at once, and what it waits for."""

from __future__ import annotations

from typing import Final, NamedTuple

from bandit_core.rules.experiment import Experiment
from bandit_core.rules.reward_window import bucket_of
from bandit_core.rules.selection import Stratum

# Strata whose rewards are counted; those of an experiment that is paused or over are only kept.
REWARDED: Final[tuple[Stratum, ...]] = ("bandit", "holdout", "direct")
# Strata whose rewards say something about the arms.
LEARNT_STRATA: Final[tuple[Stratum, ...]] = ("bandit", "direct")
# Strata of decisions that wait for the end of their reward window where a missing reward is a zero.
AWAITED: Final[tuple[Stratum, ...]] = ("bandit", "holdout")


class Treatment(NamedTuple):
    """What becomes of an event: the fields of the same names of `Event`."""

    counted: bool
    settles: bool
    bucket_ms: int | None


def bucket_ms(experiment: Experiment, stratum: Stratum, decision_ms: int) -> int | None:
    """Return the start of the bucket in which a decision waits for the end of its window; None if it does not."""
    if experiment.missing_reward != "zero" or stratum not in AWAITED:
        return None
    return bucket_of(experiment, decision_ms)


def treat_decision(experiment: Experiment, stratum: Stratum, decision_ms: int, *, deferred: bool) -> Treatment:
    """Say what becomes of a decision. One that is deferred is counted by its activation.

    A decision may be written after its reward: one that the outcome depends on settles as well.
    """
    # Most experiments declare no context, and this is asked for every decision.
    is_contextual = experiment.context is not None and experiment.is_contextual
    learns = is_contextual and stratum == "bandit" and experiment.missing_reward == "ignore"
    return Treatment(not deferred, deferred or learns, bucket_ms(experiment, stratum, decision_ms))


def treat_activation(experiment: Experiment, stratum: Stratum, decision_ms: int) -> Treatment:
    """Say what becomes of the activation of a deferred decision."""
    return Treatment(counted=True, settles=True, bucket_ms=bucket_ms(experiment, stratum, decision_ms))


def treat_reward(
    experiment: Experiment,
    stratum: Stratum,
    decision_ms: int,
    reward_micro: int | None,
    *,
    deferred: bool = False,
    has_context: bool = False,
) -> Treatment:
    """Say what becomes of a reward.

    Args:
        experiment: In whose definition it was received.
        stratum: Of its decision, or `direct`.
        decision_ms: When that was made.
        reward_micro: None for an outcome that is ignored.
        deferred: Whether the decision counts only once it is activated.
        has_context: Whether the reward itself carries a context, as a direct one does.
    """
    bucket = bucket_ms(experiment, stratum, decision_ms)
    if reward_micro is None or stratum not in REWARDED or bucket is not None:
        return Treatment(counted=False, settles=False, bucket_ms=bucket)
    is_contextual = experiment.context is not None and experiment.is_contextual
    learns = is_contextual and (stratum == "bandit" or (stratum == "direct" and has_context))
    depends = deferred or learns
    return Treatment(counted=not depends, settles=depends, bucket_ms=None)
