"""Experiments, and random events of them."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from msgspec.structs import replace

from bandit_core.rules.experiment import ArmDefinition, Experiment, FeaturesDefinition, PolicyDefinition
from bandit_core.rules.selection import Stratum
from bandit_core.rules.treatment import treat_activation, treat_decision, treat_reward
from bandit_service.domain.event import Event

# Decisions are made from here on; their windows are long over.
START_MS: Final = 1_700_000_000_000
END_MS: Final = START_MS + 1_000_000
ARMS: Final = tuple(ArmDefinition(index, name) for index, name in enumerate("abc"))
CONTEXTUAL: Final = {"policy": PolicyDefinition("linear_thompson"), "context": FeaturesDefinition(dimension=2)}
EXPERIMENTS: Final = tuple(
    Experiment(
        id=f"e{number}",
        namespace="default",
        status="running",
        revision=1,
        arms=ARMS,
        default_arm="a",
        created_at=START_MS / 1_000,
        reward_window=100.0,
        missing_reward="zero" if number % 2 else "ignore",
        **(CONTEXTUAL if number > 1 else {}),  # type: ignore[arg-type]
    )
    for number in range(4)
)
UNITS: Final = tuple(f"{number:032x}" for number in range(3))
_STRATA: Final[tuple[Stratum, ...]] = ("bandit", "bandit", "bandit", "holdout", "paused", "concluded", "direct")
# The ids of decisions are few, so that they meet.
_DECISIONS: Final = 3

any_experiment = st.sampled_from(EXPERIMENTS)


@st.composite
def events_of(draw: st.DrawFn, experiment: Experiment) -> list[Event]:
    """The events of a decision, as the service would write them, and now and then one that is unusual."""
    stratum = draw(st.sampled_from(_STRATA))
    is_direct = stratum == "direct"
    deferred = not is_direct and draw(st.booleans())
    context = draw(st.sampled_from([None, "[0.5, -1e-7]", "[1.0,2.0]"]))
    at_ms = START_MS + 700 * draw(st.integers(0, 3))
    bare = Event(
        experiment.id,
        f"d{draw(st.integers(0, _DECISIONS))}",
        "decision",
        at_ms,
        at_ms,
        draw(st.integers(0, 2)),
        stratum,
        counted=False,
        deferred=deferred,
        propensity=0.5,
        weights_version=draw(st.integers(1, 2)),
        segment=draw(st.sampled_from([None, "de"])),
    )
    found = []
    if not is_direct and draw(st.integers(0, 4)) > 0:
        treatment = treat_decision(experiment, stratum, at_ms, deferred=deferred)
        unit = draw(st.sampled_from([None, *UNITS]))
        found.append(replace(bare, unit_hash=unit, context=context, **treatment._asdict()))
    if deferred and draw(st.booleans()):
        treatment = treat_activation(experiment, stratum, at_ms)
        found.append(replace(bare, kind="activation", event_ms=at_ms + 5_000, **treatment._asdict()))
    if is_direct or draw(st.booleans()):
        micro = draw(st.integers(-2_000_000, 2_000_000))
        has_context = is_direct and context is not None
        treatment = treat_reward(experiment, stratum, at_ms, micro, deferred=deferred, has_context=has_context)
        reward = replace(bare, kind="reward", event_ms=at_ms + 9_000, reward_micro=micro, **treatment._asdict())
        found.append(replace(reward, context=context) if has_context else reward)
    return [draw(_changed(event)) for event in found]


# What is unusual about an event. The last ones no column can hold.
_CHANGES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {},
    {},
    {"position": 1, "slate_propensity": 0.25},
    {"kind": "late", "counted": False},
    {"reward_micro": None},
    {"arm_index": 2, "vector": "subset", "revision": 7},
    {"decision_id": "own-1", "claim": '{"arm": "a", "n": 1.50}'},
    {"decision_id": "own-1", "claim": '{"arm": "b"}'},
    {"decision_ms": 1_000, "event_ms": 1_000},
    {"context": '{"bb": 1, "a": [1e3, -0.0, 1.10], "ü": "\\u00e9\\n"}'},
    {"bucket_ms": START_MS - START_MS % 1_000},
    {"decision_id": "a\0b"},
    {"context": "no JSON"},
    {"context": '["\\u0000"]'},
    {"kind": "unheard of"},
    {"stratum": "unheard of"},
)


@st.composite
def _changed(draw: st.DrawFn, event: Event) -> Event:
    changes = draw(st.sampled_from(_CHANGES))
    if "decision_id" in changes and event.kind not in ("decision", "reward"):
        return event
    return replace(event, **changes)
