"""Hold the totals, the outcomes and the mirror against a fold of the events that is written down here once more."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

from .found import Found, Place, Row, is_direct
from .periods import check_periods

_MICRO = 1_000_000
_UNIQUE = frozenset({"decision", "activation", "reward", "outcome"})


def check_sums(found: Found) -> Iterator[str]:
    yield from _twice(found)
    yield from _outcomes(found)
    yield from _totals(found)
    yield from check_periods(found)
    yield from _mirror(found)
    yield from _left_over(found)


def is_shown(found: Found, decision: Row, place: Place) -> bool:
    if not decision["deferred"]:
        return True
    activation = found.one("activation", place)
    return activation is not None and bool(activation["counted"])


def _twice(found: Found) -> Iterator[str]:
    for (kind, place), rows in found.events.items():
        if kind in _UNIQUE and len(rows) > 1:
            yield f"TWICE {kind} of {place}: {[row['decision_time'] for row in rows]}"


def _outcomes(found: Found) -> Iterator[str]:
    for place in found.places:
        decision, reward, outcome = (found.one(kind, place) for kind in ("decision", "reward", "outcome"))
        source = decision or reward
        if source is None:
            continue
        shown = is_shown(found, source, place)
        waits = place[0] == "zero" and not is_direct(place)
        wanted = shown and (waits or (bool(source["deferred"]) and reward is not None))
        if wanted and outcome is None:
            yield f"OUTCOME MISSING of {place}"
        if outcome is not None and not shown:
            yield f"COUNTED BEFORE ACTIVATION {place}"
        elif outcome is not None and not wanted:
            yield f"OUTCOME TOO MUCH of {place}"
        if outcome is not None and (reward is None or outcome["reward_micro"] != reward["reward_micro"]):
            yield f"OUTCOME of {place} is {outcome['reward_micro']}, its reward {reward and reward['reward_micro']}"


def _totals(found: Found) -> Iterator[str]:
    wanted = _fold(found)
    there: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in found.tables["arm_totals"]:
        sums = there[row["experiment_id"], row["arm_index"]]
        for place, column in enumerate(("decisions", "rewards", "reward_micro")):
            sums[place] += row[column]
    for key in sorted(wanted.keys() | there.keys()):
        if wanted[key] != there[key]:
            yield f"TOTALS of {key} are {there[key]}, the events say {wanted[key]}"


def _fold(found: Found) -> dict[tuple[str, int], list[int]]:
    """Return decisions, rewards and their sum by experiment and arm, from what was decided, shown and rewarded."""
    sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for place in found.places:
        decision, reward, outcome = (found.one(kind, place) for kind in ("decision", "reward", "outcome"))
        source = decision or reward or found.one("activation", place)
        if source is None:
            continue
        arm = sums[place[0], source["arm_index"]]
        activation = found.one("activation", place)
        if source["deferred"]:
            arm[0] += activation is not None and bool(activation["counted"])
        else:
            arm[0] += decision is not None
        waits = place[0] == "zero" and not is_direct(place)
        counts = outcome if waits or source["deferred"] else reward
        if counts is not None:
            arm[1] += 1
            arm[2] += counts["reward_micro"]
    return sums


def _mirror(found: Found) -> Iterator[str]:
    wanted = _fold(found)
    for experiment in found.experiments:
        prefix = f"experiment:{{{experiment}}}:"
        for arm in range(found.arms):
            _, rewards, micro = wanted[experiment, arm]
            sums = {"alpha": _MICRO + micro, "beta": _MICRO + rewards * _MICRO - micro}
            for name, value in sums.items():
                there = found.mirror.get(f"{prefix}arm:{arm}:{name}")
                if not isinstance(there, bytes) or int(there) != value:
                    yield f"MIRROR {name} of {experiment}'s arm {arm} is {there!r}, not {value}"
        weights = found.mirror.get(f"{prefix}weights")
        ledger = [row["version"] for row in found.tables["weights"] if row["experiment_id"] == experiment]
        version = json.loads(weights)["version"] if isinstance(weights, bytes) else None
        if ledger != [version]:
            yield f"MIRROR has version {version} of {experiment}'s weights, the ledger {ledger}"
        if f"{prefix}definition" not in found.mirror:
            yield f"MIRROR lacks the definition of {experiment}"


def _left_over(found: Found) -> Iterator[str]:
    for table in ("unsettled", "open_buckets"):
        if found.tables[table]:
            yield f"LEFT in {table}: {len(found.tables[table])}"
