"""Several processes on one Redis and one Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .crowd import Crowd
from .drill import survives

if TYPE_CHECKING:
    from .conftest import Report
    from .platform import Platform


def nothing_breaks(_: Platform, __: Crowd) -> None:
    """Break nothing."""


async def test_two_processes_count_every_reward_once(platform: Platform, events: int, report: Report) -> None:
    await survives(platform, events, nothing_breaks, report)
