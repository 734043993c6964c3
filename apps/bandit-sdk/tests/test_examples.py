"""The examples of the documents run against a real service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Service

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def test_three_recommenders_are_blended_and_the_clicked_one_is_credited(service: Service) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "recommender.py", service.url],
        env={**os.environ, "BANDIT_API_KEY": service.keys["admin"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    chosen, _, outcome = done.stdout.partition(": ")
    assert len(chosen.split(", ")) == 3
    # The third of three sources in turn gives its best item: the favourites are taken.
    assert outcome.startswith(f"{chosen.split(', ')[2]}-3 was clicked")
