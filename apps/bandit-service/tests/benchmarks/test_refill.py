"""The measurement of a refill runs, and refuses to report one that brought back something else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).parents[2]


@pytest.mark.verify
@pytest.mark.parametrize("events", [12_000, 1_000_000])
def test_a_refill_is_measured_with_and_without_a_snapshot(events: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.refill", str(events)],
        env={**os.environ, "PYTHONPATH": str(APP)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stderr
    assert f"| {events:,} |" in ran.stdout
