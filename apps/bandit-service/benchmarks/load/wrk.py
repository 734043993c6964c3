"""Load by wrk: one thread, so that it takes as little of the machine from the server as it can."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.load.traffic import ExhaustedError, Generator, LoadError, Seen, Traffic

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_GRACE_SECONDS: Final = 30.0


def wrk() -> Generator | None:
    """Return the generator, or None where wrk is not installed."""
    program = shutil.which("wrk")
    return None if program is None else Generator("wrk", lambda traffic: _send(program, traffic))


def _send(program: str, traffic: Traffic) -> Seen:
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as bodies:
        bodies.write(b"\n".join(traffic.bodies) + b"\n")
        bodies.flush()
        seen = _report(program, traffic, bodies.name)
    failures = {kind: seen[kind] for kind in ("refused", "broken", "late") if seen[kind]}
    if failures:
        raise LoadError(f"{traffic.url}: of {seen['requests']} requests failed: {failures}")
    if seen["exhausted"]:
        raise ExhaustedError(
            f"{traffic.url}: {len(traffic.bodies)} bodies were not enough for {seen['requests']} requests"
        )
    return Seen(seen["requests"], seen["seconds"], seen["p50"], seen["p99"])


def _report(program: str, traffic: Traffic, bodies: str) -> dict[str, Any]:
    shape = ["--threads", "1", "--connections", str(traffic.connections), "--duration", f"{traffic.seconds}s"]
    patience = ["--timeout", f"{_GRACE_SECONDS:.0f}s"]
    mode = "repeat" if traffic.repeats else "once"
    ran = subprocess.run(  # noqa: S603 - a fixed program and our own arguments, no shell
        [program, *shape, *patience, "--script", str(_SCRIPT), traffic.url, "--", bodies, mode],
        capture_output=True,
        text=True,
        check=True,
        timeout=traffic.seconds + _GRACE_SECONDS,
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise LoadError(f"wrk reported nothing for {traffic.url}: {ran.stdout[-500:]}{ran.stderr[-500:]}")
    report: dict[str, Any] = json.loads(lines[-1])
    return report
