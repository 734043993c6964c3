"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.table import Table

_LIBRARIES: Final = (
    "uvicorn",
    "uvloop",
    "httptools",
    "fastapi",
    "starlette",
    "msgspec",
    "redis",
    "hiredis",
    "numpy",
    "scipy",
)


def machine_table(store: str, postgres_version: str) -> Table:
    """Return the machine, its load and the versions that matter."""
    rows = [
        ("processor", f"{_processor()}, {os.cpu_count()} logical"),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("load average before", f"{os.getloadavg()[0]:.1f}"),
        ("Python", platform.python_version()),
        ("store, Postgres", f"{store}, {postgres_version}"),
        ("libraries", ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)),
    ]
    return Table("Machine", ("what", "which"), rows)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
