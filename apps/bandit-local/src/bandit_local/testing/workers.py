"""How the tests are shared out among worker processes (pytest-xdist).

A worker gets a whole file, so that what a module shares is started once. Tests that share something dearer, or that
break, time or fill what they run on, are one group: no two of them run at the same time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# The longest first: what takes minutes must not begin when everything else is done.
GROUPS = (
    "apps/bandit-service/tests/failures",
    "apps/bandit-router/tests",
    "apps/bandit-pipeline/tests",
    "apps/bandit-sdk/tests",
    "grafana/tests",
    "apps/bandit-service/tests/compat",
)


def number_for(arguments: Sequence[str]) -> int:
    """Return how many workers a run of these files and folders gets: none, and no start-up of theirs, for files."""
    if all(Path(argument.partition("::")[0]).is_file() for argument in arguments):
        return 0
    return max(2, os.cpu_count() or 2)


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def group_of(nodeid: str) -> str:
    """Return the group of a test, else its file."""
    return next((group for group in GROUPS if nodeid.startswith(f"{group}/")), nodeid.partition("::")[0])


def rank(nodeid: str) -> int:
    """Return the place of a test's group in the order they begin in."""
    group = group_of(nodeid)
    return GROUPS.index(group) if group in GROUPS else len(GROUPS)


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Give each worker one group after another, in the order of the collection."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
