"""What the tests of delivery look at: files of this repository, and the programs that judge them."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[4]
IMAGES = ("bandit-pipeline", "bandit-router", "bandit-service")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COMPOSE = ROOT / "apps" / "bandit-local" / "compose.yaml"
PROGRAMS = Path(sysconfig.get_path("scripts"))


def complaints(program: str, *arguments: str | Path) -> str:
    """Return what a program of the environment says, from the repository's root; nothing if it is content."""
    done = subprocess.run([PROGRAMS / program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def dockerfile(image: str) -> Path:
    return ROOT / "apps" / image / "Dockerfile"


def read_yaml(path: Path) -> Any:
    """Return a YAML file; `on`, which YAML 1.1 takes for a truth value, is the key True."""
    return yaml.safe_load(path.read_text())


def declared(app: str, *extras: str) -> list[Requirement]:
    """Return what an app's pyproject.toml asks for, other apps left out."""
    project = tomllib.loads((ROOT / "apps" / app / "pyproject.toml").read_text())["project"]
    texts = list(project["dependencies"])
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    return [wanted for wanted in map(Requirement, texts) if not wanted.name.startswith("bandit-")]


def pins(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return the version and the hashes of each package in requirements/NAME.txt."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        pin = re.match(r"([a-z0-9-]+)(?:\[[^]]*\])?==([^\s;]+)", line)
        assert pin is not None, f"{line!r} is no pin"
        found[pin[1]] = (pin[2], frozenset(re.findall(r"--hash=(\S+)", line)))
    return found
