"""The benchmark itself runs, against real servers, and writes down what it measured."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).parents[2]
BEGIN, END = "<!-- measured: written by make bench -->", "<!-- end of measured -->"
TITLES = (
    "Machine",
    "32 connections",
    "Aims",
    "Processor time per answer",
    "Contextual decisions",
    "P(best)",
    "Where the service's time goes",
)


def measured(document: Path, *options: str) -> str:
    """Run the quick benchmark as `make bench` would, and return the document it wrote into."""
    document.write_text(f"before\n{BEGIN}\nold figures\n{END}\nafter\n")
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--write", str(document), *options],
        env={**os.environ, "PYTHONPATH": str(APP)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    return document.read_text()


def check(text: str) -> None:
    assert text.startswith(f"before\n{BEGIN}")
    assert text.endswith(f"{END}\nafter\n")
    assert "old figures" not in text
    for title in TITLES:
        assert f"**{title}" in text


@pytest.mark.verify
def test_a_quick_round_measures_every_contender_and_writes_the_figures_between_the_marks(tmp_path: Path) -> None:
    check(measured(tmp_path / "performance.md"))


@pytest.mark.verify
def test_the_bundled_load_generator_measures_the_same_where_wrk_is_missing(tmp_path: Path) -> None:
    text = measured(tmp_path / "performance.md", "--own-load")
    check(text)
    assert "load by the bundled asyncio client" in text
