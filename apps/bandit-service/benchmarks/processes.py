"""What the processes of the benchmark cost: their processor time, and that of their children."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    seconds: float


def processor_seconds(pids: dict[str, int]) -> dict[str, float]:
    """Return the processor seconds each named process and its descendants have used; nothing where /proc is not there.

    Those of children that have ended are counted by the kernel with their parent.
    """
    processes = _processes()
    return {name: _with_descendants(pid, processes) for name, pid in pids.items() if processes}


def _with_descendants(pid: int, processes: dict[int, _Process]) -> float:
    children = (child for child, process in processes.items() if process.parent == pid)
    own = processes[pid].seconds if pid in processes else 0.0
    return own + sum(_with_descendants(child, processes) for child in children)


def _processes() -> dict[int, _Process]:
    found = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            _, _, rest = (folder / "stat").read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = rest.split()
        # Numbered as in proc(5), less the two before the state: parent, then user, system and the children's time.
        found[int(folder.name)] = _Process(int(fields[1]), sum(map(int, fields[11:15])) / _TICKS)
    return found
