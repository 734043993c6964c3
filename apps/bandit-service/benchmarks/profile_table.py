"""Where the service's processor time goes while it is under load."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.contenders import Contender
from benchmarks.load.traffic import Generator, LoadError
from benchmarks.rounds import Pace, measure, warm_up
from benchmarks.table import Table

_REPORT_TIMEOUT: Final = 10.0


class Counted(msgspec.Struct, frozen=True):
    """Samples by what they are about, and by function."""

    groups: dict[str, int]
    functions: dict[str, int]


def profiled_program(report: Path) -> list[str | Path]:
    """Return the command that serves under the sampler."""
    return [sys.executable, "-m", "benchmarks.profiled_service", report]


def profile(contender: Contender, generator: Generator, pace: Pace, report: Path) -> Table:
    """Put a contender, served by `profiled_program(report)`, under load and return where its time went."""
    expected = warm_up(contender, generator, pace)
    report.unlink(missing_ok=True)
    pid = contender.pids["server"]
    os.kill(pid, signal.SIGUSR1)
    outcome = measure(contender, generator, pace, expected)
    os.kill(pid, signal.SIGUSR2)
    counted = _read(report)
    samples = sum(counted.groups.values())
    per_answer = outcome.cpu.get("server")
    rows = [
        (name, f"{count / samples:.0%}", "" if per_answer is None else f"{count / samples * per_answer:.1f}")
        for name, count in sorted(counted.groups.items(), key=lambda item: -item[1])
    ]
    title = f"Where the service's time goes: {contender.name}"
    return Table(title, ("part", "share", "µs an answer"), rows, (f"{samples} samples.",))


def _read(report: Path) -> Counted:
    deadline = time.monotonic() + _REPORT_TIMEOUT
    while not report.exists():
        if time.monotonic() > deadline:
            raise LoadError("the profiled service wrote no report")
        time.sleep(0.05)
    return msgspec.json.decode(report.read_bytes(), type=Counted)
