"""Comparison of the periods of the weights with the events that they were folded from, by sums of its own."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import LiteralString

from .platform import ARMS, Platform

_NANO = 10**9
# One statement, so one moment: versions are folded at any time. Numbers as text, since they may be of any size.
_EVERYTHING: LiteralString = """
    WITH wanted AS (SELECT %s AS id)
    SELECT
        (
            SELECT jsonb_agg(jsonb_build_array(weights_version, arm_index, reward_micro))
            FROM bandit_events JOIN wanted ON experiment_id = id
            WHERE counted AND kind IN ('reward', 'outcome') AND stratum = 'bandit' AND vector IS NULL
        )::text,
        (
            SELECT jsonb_agg(jsonb_build_array(weights_version, arm_index, rewards, reward_micro))
            FROM arm_totals JOIN wanted ON experiment_id = id
            WHERE weights_version > 0 AND stratum = 'bandit'
        )::text,
        (SELECT jsonb_object_agg(weights_version, weights) FROM allocations JOIN wanted ON experiment_id = id)::text,
        (SELECT jsonb_agg(sums -> 'arms') FROM weight_periods JOIN wanted ON experiment_id = id)::text
"""
type _Sums = Counter[tuple[str, int, int]]


def assert_periods_are_the_fold(platform: Platform, name: str) -> None:
    """Check counts, overlap weights and weighted rewards of each pair of arms, in whole numbers."""
    [row] = platform.rows(_EVERYTHING, name)
    events, live, weights, periods = (json.loads(document or "[]") for document in row)
    rewards: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for version, arm, micro in events:
        rewards[version][arm][0] += 1
        rewards[version][arm][1] += micro
    for version, arm, number, micro in live:
        rewards[version][arm][0] -= number
        rewards[version][arm][1] -= micro
    wanted: _Sums = Counter()
    for version, by_arm in rewards.items():
        if any(any(each) for each in by_arm.values()):
            # A failover may have lost the weights, of which nothing can be said then.
            if str(version) not in weights:
                return
            wanted.update(_pairs([weights[str(version)].get(arm, 0.0) for arm in ARMS], by_arm))
    there: _Sums = Counter()
    for sums in periods:
        for own, number in enumerate(sums["count"]):
            there["count", own, own] += number
            for other in range(len(sums["count"])):
                there["q", own, other] += sums["q"][own][other]
                there["qr", own, other] += sums["qr"][own][other]
    assert {key: value for key, value in there.items() if value} == {
        key: value for key, value in wanted.items() if value
    }


def _pairs(weights: Sequence[float], rewards: Mapping[int, Sequence[int]]) -> _Sums:
    w, found = [round(weight * _NANO) for weight in weights], Counter[tuple[str, int, int]]()
    for own, (number, total) in rewards.items():
        found["count", own, own] += number
        for other, weight in enumerate(w):
            if other != own and w[own]:
                q = round(weight * _NANO / (w[own] + weight))
                found["q", own, other] += q * number
                found["qr", own, other] += q * total
    return found
