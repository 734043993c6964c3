"""Every position of a slate survives like a decision of its own: with its arm, and with its own reward."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from .crowd import Crowd
from .drill import survives
from .platform import Platform
from .test_redis import crash, forget_everything, forget_what_postgres_has, forget_what_postgres_lacks
from .test_replicas import nothing_breaks
from .test_services import kill_both_in_turn, stand_still_beyond_the_lease

if TYPE_CHECKING:
    from .conftest import Report


@pytest.mark.parametrize(
    "failure",
    [
        nothing_breaks,
        forget_everything,
        pytest.param(forget_what_postgres_lacks, marks=pytest.mark.verify),
        pytest.param(forget_what_postgres_has, marks=pytest.mark.verify),
        pytest.param(crash, marks=pytest.mark.verify),
        pytest.param(kill_both_in_turn, marks=pytest.mark.verify),
        pytest.param(stand_still_beyond_the_lease, marks=pytest.mark.verify),
    ],
)
async def test_every_position_is_counted_once(
    platform: Platform, events: int, report: Report, failure: Callable[[Platform, Crowd], None]
) -> None:
    await survives(platform, events, failure, report, k=2, update_every=0.1)
