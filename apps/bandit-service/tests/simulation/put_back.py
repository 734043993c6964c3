"""Put a fault back into a copy of the product, and look for it with the simulation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import bandit_core
import bandit_service

FAULTS = Path(__file__).parent / "faults"
_TESTS = Path(__file__).parent.parent
_PACKAGES = (Path(bandit_core.__file__).parent, Path(bandit_service.__file__).parent)


def names() -> list[str]:
    return sorted(patch.stem for patch in FAULTS.glob("*.patch"))


def put_back(name: str, folder: Path) -> Path:
    """Copy the product into a folder, with a fault; return what Python has to find it by.

    Raises:
        CalledProcessError: the patch does not fit the product any more.
    """
    for package in _PACKAGES:
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    command = ["git", "apply", "-p1", str(FAULTS / f"{name}.patch")]
    # Outside any repository, so that the copy alone is changed.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent), "GIT_DIR": str(folder / "none")}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return folder


def find(name: str, folder: Path, *, seed: int, count: int, workers: int = 1) -> str:
    """Run schedules on a product with a fault until one goes wrong; return what was printed, empty if none did."""
    paths = [str(put_back(name, folder)), str(_TESTS)]
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "simulation", "--stop", "--whole"),
            *("--seed", str(seed), "--count", str(count), "--workers", str(workers)),
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode not in (0, 1) or "Traceback" in ran.stderr:
        raise RuntimeError(ran.stderr)
    return ran.stdout if ran.returncode else ""
