"""What counts: which events raise the totals at once, and what the outcome of a decision is where several say it.

An outcome is a function of a decision's events, whatever their order. It is written once all that it depends on are
there. Where a missing reward is a zero that is when the reward window has closed, which supplies what is missing under
its own key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from bandit_core.rules.experiment import Experiment
from bandit_core.rules.reward_window import window_ms
from bandit_core.rules.selection import Stratum
from bandit_core.rules.treatment import AWAITED, REWARDED, bucket_ms
from bandit_service.domain.event import Event

# The parts of a reward, each of which is supplied at closing if it is missing.
PARTS: Final = ("",)


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
