"""The measurement of a rebuild runs, and refuses to report one that brought back something else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).parents[2]


@pytest.mark.verify
@pytest.mark.parametrize(("events", "experiments"), [(12_000, 3), (1_000_000, 100)])
def test_a_rebuild_is_measured(events: int, experiments: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.rebuild", str(events), "--experiments", str(experiments)],
        env={**os.environ, "PYTHONPATH": str(APP)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stderr
    assert f"| {events:,} | {experiments:,} |" in ran.stdout
