"""The router's own metrics, as the wrapper takes them: increments of counters, handed over with each answer.

The wrapper's metrics port shows them with `_total` behind the name.
"""

from __future__ import annotations

from typing import Any

from bandit_router.feedback import Report
from bandit_router.messages import Default

type Increment = dict[str, Any]


def routed(branch: int, default: Default | None) -> list[Increment]:
    """Count a routed request, and the default arm when it stood in."""
    counted = [_increment("bandit_router_routed", arm_index=str(branch))]
    if default is not None:
        counted.append(_increment("bandit_router_default_arm", reason=default.value))
    return counted


def rewarded(report: Report, reward: float) -> list[Increment]:
    """Count a reward, whatever its size, and add up the applied ones."""
    counted = [_increment("bandit_router_rewards", status=report.status, fallback=report.fallback.value)]
    # The wrapper takes an increment of zero for a missing one, and fails.
    if report.status == "applied" and reward != 0:
        counted.append(_increment("bandit_router_reward_sum", reward))
    return counted


def _increment(key: str, value: float = 1, **tags: str) -> Increment:
    return {"key": key, "type": "COUNTER", "value": value, "tags": tags}
