"""Hold the periods of the weights against sums of the events by version, written down here once more."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from .found import Found

_NANO = 10**9
# Rewards, their sum in millionths and that of their squares, by arm.
type _Sums = dict[int, list[int]]


def check_periods(found: Found) -> Iterator[str]:
    """Compare the overlap sums of each pair of arms: exact integers, so they are equal or something is wrong."""
    there: dict[str, Counter[tuple[str, int, int]]] = defaultdict(Counter)
    for row in found.tables["weight_periods"]:
        _add(there[row["experiment_id"]], json.loads(row["sums"])["arms"])
    wanted: dict[str, Counter[tuple[str, int, int]]] = defaultdict(Counter)
    for (experiment, version), sums in _folded(found).items():
        wanted[experiment].update(_pairs(sums, _weights(found, experiment, version)))
    for experiment in found.experiments:
        # A failover may have lost the weights of a version whose decisions were written again.
        lost = any(name == experiment and _weights(found, name, version) is None for name, version in _folded(found))
        first, second = (_without_zeros(each[experiment]) for each in (there, wanted))
        if not lost and first != second:
            yield f"PERIODS of {experiment} hold {first}, the events say {second}"


def _folded(found: Found) -> dict[tuple[str, int], _Sums]:
    """Return what periods should hold by experiment and version: what the events say and the totals do not."""
    sums: dict[tuple[str, int], _Sums] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    for row in found.tables["bandit_events"]:
        is_counted = row["counted"] and row["kind"] in ("reward", "outcome") and row["stratum"] == "bandit"
        if is_counted and row["vector"] is None and row["weights_version"]:
            micro = row["reward_micro"]
            by_arm = sums[row["experiment_id"], row["weights_version"]][row["arm_index"]]
            for place, more in enumerate((1, micro, (micro * micro + 500_000) // 1_000_000)):
                by_arm[place] += more
    for row in found.tables["arm_totals"]:
        if row["weights_version"] > 0 and row["stratum"] == "bandit":
            by_arm = sums[row["experiment_id"], row["weights_version"]][row["arm_index"]]
            for place, column in enumerate(("rewards", "reward_micro", "square_micro")):
                by_arm[place] -= int(row[column])
    return {key: by_arm for key, by_arm in sums.items() if any(any(each) for each in by_arm.values())}


def _weights(found: Found, experiment: str, version: int) -> list[int] | None:
    """Return the weights of a version in billionths, by arm."""
    for row in found.tables["allocations"]:
        if (row["experiment_id"], row["weights_version"]) == (experiment, version):
            weights = json.loads(row["weights"])
            return [round(weights.get(f"arm-{arm}", 0.0) * _NANO) for arm in range(found.arms)]
    return None


def _pairs(sums: _Sums, weights: list[int] | None) -> Counter[tuple[str, int, int]]:
    """Return how many rewards each arm has, and by pair of arms the sums of q, qr and q²r²."""
    result: Counter[tuple[str, int, int]] = Counter()
    for arm, (count, total, squares) in sums.items():
        result["count", arm, arm] += count
        for other, weight in enumerate(weights or ()):
            if other != arm and weights is not None and weights[arm]:
                q = round(weight * _NANO / (weights[arm] + weight))
                result["q", arm, other] += q * count
                result["qr", arm, other] += q * total
                result["q2r2", arm, other] += q * q * squares
    return result


def _add(sums: Counter[tuple[str, int, int]], record: Any) -> None:
    for arm, count in enumerate(record["count"]):
        sums["count", arm, arm] += count
        for other in range(len(record["count"])):
            for name in ("q", "qr", "q2r2"):
                sums[name, arm, other] += record[name][arm][other]


def _without_zeros(sums: Counter[tuple[str, int, int]]) -> dict[tuple[str, int, int], int]:
    return {key: value for key, value in sums.items() if value}
