"""Linear models survive like everything else: no reward is lost, doubled or learnt without its context."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from .crowd import Crowd
from .drill import survives
from .platform import Platform
from .test_redis import crash, forget_everything, forget_what_postgres_lacks
from .test_services import kill_both_in_turn

if TYPE_CHECKING:
    from .conftest import Report

LINEAR: dict[str, Any] = {
    "policy": {"name": "linear_thompson", "params": {"alpha": 0.3}},
    "context": {"dimension": 3},
    "update_every": 0.1,
}


@pytest.mark.parametrize(
    "failure",
    [
        forget_everything,
        pytest.param(crash, marks=pytest.mark.verify),
        pytest.param(forget_what_postgres_lacks, marks=pytest.mark.verify),
        pytest.param(kill_both_in_turn, marks=pytest.mark.verify),
    ],
)
async def test_models_are_the_fold_of_what_was_acknowledged(
    platform: Platform, events: int, report: Report, failure: Callable[[Platform, Crowd], None]
) -> None:
    await survives(platform, events, failure, report, features=3, **LINEAR)
