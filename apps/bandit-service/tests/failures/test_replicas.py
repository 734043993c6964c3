"""Several processes on one Redis and one Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from failures.crowd import Crowd
from failures.drill import survives

if TYPE_CHECKING:
    from failures.conftest import Report
    from failures.platform import Platform


def nothing(_: Platform, __: Crowd) -> None:
    """Break nothing."""


async def test_two_processes_count_every_reward_once(platform: Platform, events: int, report: Report) -> None:
    await survives(platform, events, nothing, report)
