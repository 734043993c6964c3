"""The events of decisions, activations and rewards, as `domain.outcome` says what becomes of them."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from bandit_core.rules.decisions import DecisionClaims
from bandit_core.rules.selection import Context, SlatePosition
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_core.rules.treatment import Treatment, treat_activation, treat_decision, treat_reward
from bandit_service.domain.event import Event, Kind

_encode = msgspec.json.Encoder().encode


def decision_events(
    decision_id: str,
    claims: DecisionClaims,
    served: ServedExperiment,
    *,
    unit_hash: str | None = None,
    context: Context | None = None,
    slate_propensity: float | None = None,
) -> list[Event]:
    """Return the events of a decision: one, or one for each position of a slate."""
    treatment = treat_decision(served.experiment, claims.stratum, claims.decision_ms, deferred=claims.deferred)
    first = _event(
        decision_id,
        claims,
        served,
        "decision",
        claims.decision_ms,
        treatment,
        unit_hash=unit_hash,
        context=context,
        slate_propensity=slate_propensity,
    )
    if not claims.slate:
        return [first]
    return [first, *(_at(first, position, place) for position, place in enumerate(claims.slate) if position)]


def activation_event(decision_id: str, claims: DecisionClaims, served: ServedExperiment, now_ms: int) -> Event:
    """Return the event that a deferred decision was shown."""
    treatment = treat_activation(served.experiment, claims.stratum, claims.decision_ms)
    return _event(decision_id, claims, served, "activation", now_ms, treatment)


def reward_event(
    decision_id: str,
    claims: DecisionClaims,
    place: SlatePosition,
    position: int,
    served: ServedExperiment,
    *,
    reward_micro: int | None,
    now_ms: int,
) -> Event:
    """Return the event of a decision's reward; None in millionths is an outcome that is ignored."""
    treatment = treat_reward(
        served.experiment, claims.stratum, claims.decision_ms, reward_micro, deferred=claims.deferred
    )
    event = _event(decision_id, claims, served, "reward", now_ms, treatment, reward_micro=reward_micro)
    if not position:
        return event
    return replace(event, position=position, arm_index=place.arm_index, propensity=place.propensity)


def late_event(reward: Event) -> Event:
    """Return the event that keeps a reward whose window is over."""
    return replace(reward, kind="late", counted=False, settles=False, bucket_ms=None)


def direct_event(
    name: str,
    served: ServedExperiment,
    *,
    arm_index: int,
    reward_micro: int | None,
    segment: str | None,
    context: Context | None,
    now_ms: int,
    claim: str | None,
) -> Event:
    """Return the event of a reward for an arm that was not decided here."""
    experiment = served.experiment
    treatment = treat_reward(experiment, "direct", now_ms, reward_micro, has_context=context is not None)
    return Event(
        experiment.id,
        name,
        "reward",
        now_ms,
        now_ms,
        arm_index,
        "direct",
        treatment.counted,
        revision=experiment.revision,
        reward_micro=reward_micro,
        segment=segment,
        context=None if context is None else _encode(context).decode(),
        settles=treatment.settles,
        claim=claim,
    )


def _event(
    decision_id: str,
    claims: DecisionClaims,
    served: ServedExperiment,
    kind: Kind,
    event_ms: int,
    treatment: Treatment,
    *,
    reward_micro: int | None = None,
    unit_hash: str | None = None,
    context: Context | None = None,
    slate_propensity: float | None = None,
) -> Event:
    counted, settles, bucket_ms = treatment
    return Event(
        claims.experiment_id,
        decision_id,
        kind,
        claims.decision_ms,
        event_ms,
        claims.arm_index,
        claims.stratum,
        counted,
        deferred=claims.deferred,
        propensity=claims.propensity,
        weights_version=claims.weights_version,
        revision=claims.revision,
        reward_micro=reward_micro,
        unit_hash=unit_hash,
        vector=None if claims.vector == "published" else claims.vector,
        segment=None if claims.segment is None else served.segmentation.names[claims.segment],
        slate_propensity=slate_propensity,
        context=None if context is None else _encode(context).decode(),
        settles=settles,
        bucket_ms=bucket_ms,
    )


def _at(first: Event, position: int, place: SlatePosition) -> Event:
    """Return the event of a later position of a slate: the unit and the context stand with the first."""
    return replace(
        first,
        position=position,
        arm_index=place.arm_index,
        propensity=place.propensity,
        unit_hash=None,
        context=None,
    )
