"""What counts: which events raise the totals at once, and what the outcome of a decision is where several say it.

An outcome is a function of a decision's events, whatever their order. It is written once all that it depends on are
there. Where a missing reward is a zero that is when the reward window has closed, which supplies what is missing under
its own key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from msgspec.structs import replace

from bandit_service.domain.event import Event, Stratum
from bandit_service.domain.experiment import Experiment
from bandit_service.domain.reward_window import bucket_of, window_ms

# Strata whose rewards are counted; those of an experiment that is paused or over are only kept.
REWARDED: Final[tuple[Stratum, ...]] = ("bandit", "holdout", "direct")
# Strata of decisions that wait for the end of their reward window where a missing reward is a zero.
AWAITED: Final[tuple[Stratum, ...]] = ("bandit", "holdout")
# The parts of a reward, each of which is supplied at closing if it is missing.
PARTS: Final = ("",)


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
    learns = experiment.is_contextual and stratum == "bandit" and experiment.missing_reward == "ignore"
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
    learns = experiment.is_contextual and (stratum == "bandit" or (stratum == "direct" and has_context))
    depends = deferred or learns
    return Treatment(counted=not depends, settles=depends, bucket_ms=None)


def is_shown_later(events: Iterable[Event]) -> bool:
    """Say whether a decision was deferred and has been activated since: its unit is exposed by that."""
    return any(event.kind == "activation" and event.counted for event in events)


def settled(experiment: Experiment, events: Sequence[Event]) -> list[Event]:
    """Return the outcomes that the events of one decision make complete, before its window has closed."""
    context = _context(events)
    return [
        outcome
        for known in _positions(events)
        for outcome in known.outcomes()
        if bucket_ms(experiment, outcome.stratum, outcome.decision_ms) is None
        and (context is not None or not _needs_context(experiment, outcome.stratum))
    ]


def supplied(experiment: Experiment, events: Sequence[Event]) -> list[Event]:
    """Return what the events of one decision lack when its window closes, each under its own key.

    A decision that never came is restored from what its reward or its activation carries. A deferred one that was not
    activated gets an activation that is not counted, which means never, and so has no outcome.
    """
    end_ms = window_ms(experiment)
    return [
        event
        for known in _positions(events)
        if known.source is not None and known.source.stratum in AWAITED
        for event in known.missing(known.source, known.source.decision_ms + end_ms)
    ]


def closed(events: Sequence[Event]) -> list[Event]:
    """Return the outcomes of one decision whose window has closed, given all its events and what was supplied."""
    return [outcome for known in _positions(events) for outcome in known.outcomes() if outcome.stratum in AWAITED]


def learnt_context(events: Sequence[Event], outcome: Event) -> str | None:
    """Return the context, JSON text, that a linear model learns an outcome with; None if it learns nothing."""
    return None if outcome.stratum == "holdout" else _context(events)


@dataclass(frozen=True, slots=True)
class _Position:
    """The events of one position of a decision; rewards by part, and the parts that have an outcome."""

    decision: Event | None
    activation: Event | None
    rewards: Mapping[str, Event]
    done: frozenset[str]

    @property
    def source(self) -> Event | None:
        """The event that says what was decided."""
        return self.decision or next(iter(self.rewards.values()), None) or self.activation

    def outcomes(self) -> list[Event]:
        return [
            _outcome(self.decision or reward, reward)
            for part, reward in sorted(self.rewards.items())
            if part not in self.done and self._counts(reward)
        ]

    def missing(self, source: Event, end_ms: int) -> list[Event]:
        found = []
        if self.decision is None:
            found.append(
                replace(
                    _bare(source), kind="decision", part="", event_ms=source.decision_ms, counted=not source.deferred
                )
            )
        if source.deferred and self.activation is None:
            found.append(replace(_bare(source), kind="activation", part="", event_ms=end_ms, counted=False))
        if not source.deferred or (self.activation is not None and self.activation.counted):
            found += [
                replace(_bare(source), kind="reward", part=part, event_ms=end_ms, counted=False, reward_micro=0)
                for part in PARTS
                if part not in self.rewards
            ]
        return found

    def _counts(self, reward: Event) -> bool:
        if reward.counted or reward.reward_micro is None or reward.stratum not in REWARDED:
            return False
        return not reward.deferred or (self.activation is not None and self.activation.counted)


def _positions(events: Iterable[Event]) -> list[_Position]:
    found: dict[int, dict[tuple[str, str], Event]] = {}
    for event in events:
        found.setdefault(event.position, {})[event.kind, event.part] = event
    return [
        _Position(
            by_kind.get(("decision", "")),
            by_kind.get(("activation", "")),
            {part: event for (kind, part), event in by_kind.items() if kind == "reward"},
            frozenset(part for kind, part in by_kind if kind == "outcome"),
        )
        for _, by_kind in sorted(found.items())
    ]


def _needs_context(experiment: Experiment, stratum: Stratum) -> bool:
    return experiment.is_contextual and stratum == "bandit"


def _context(events: Iterable[Event]) -> str | None:
    """Return the context of a decision, which stands with its first position, or that of a direct reward."""
    return next((event.context for event in events if event.context is not None), None)


def _outcome(source: Event, reward: Event) -> Event:
    return replace(
        _bare(source),
        kind="outcome",
        part=reward.part,
        event_ms=reward.event_ms,
        counted=True,
        reward_micro=reward.reward_micro,
    )


def _bare(event: Event) -> Event:
    """Return an event with what was decided, and without what happened to its own row."""
    return replace(
        event,
        reward_micro=None,
        unit_hash=None,
        slate_propensity=None,
        context=None,
        settles=False,
        bucket_ms=None,
        claim=None,
    )
