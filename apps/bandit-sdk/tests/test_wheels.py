"""The wheels of `make wheels` in empty environments, by the lines of docs/sdk.md.

What they need comes from uv's cache, and from the index only if the cache lacks it.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UV = Path(sysconfig.get_path("scripts")) / "uv"
APPS = {path.parent.name for path in (ROOT / "apps").glob("*/pyproject.toml")}
CLIENT = {"anyio", "bandit-sdk", "certifi", "h11", "httpcore", "httpx", "idna", "msgspec", "typing-extensions"}
PROGRAM = """
import sys
from bandit_sdk import AsyncClient, Client

with Client("http://127.0.0.1:9") as client:
    assert client.select("homepage", default="control").is_default
print([name for name in ("numpy", "scipy", "bandit_core") if name in sys.modules])
"""


def ran(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def said(*command: str | Path, cwd: Path = ROOT) -> str:
    done = ran(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install_lines() -> list[list[str]]:
    """Return the arguments of each `pip install` in docs/sdk.md: of the client, and of the extras."""
    lines = (ROOT / "docs" / "sdk.md").read_text().splitlines()
    return [shlex.split(line)[3:] for line in lines if line.startswith("$ pip install ")]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make wheels` has filled, as dist beside the reader of the document."""
    folder = tmp_path_factory.mktemp("wheels")
    said("make", "wheels", f"WHEELS={folder / 'dist'}")
    return folder


def environment(folder: Path, wanted: list[str], wheels: Path) -> Path:
    """Make an environment of what pip would install; return its Python."""
    python = folder / "bin" / "python"
    said(UV, "venv", "--quiet", "--python", sys.executable, folder)
    lock = ROOT / "requirements" / "lock.txt"
    install: list[str | Path] = [UV, "pip", "install", "--python", python, "--constraints", lock, *wanted]
    if ran(*install, "--offline", cwd=wheels).returncode != 0:
        said(*install, cwd=wheels)
    return python


@pytest.fixture(scope="module")
def plain(wheels: Path) -> Path:
    """The Python of an environment that has the client alone."""
    client, _ = install_lines()
    return environment(wheels / "plain", client, wheels)


def test_every_app_has_a_wheel(wheels: Path) -> None:
    names = {path.name.split("-")[0].replace("_", "-") for path in (wheels / "dist").glob("*.whl")}
    assert names == APPS


def test_the_client_needs_httpx_and_msgspec_only(plain: Path) -> None:
    found = json.loads(said(UV, "pip", "list", "--format", "json", "--python", plain))
    assert {each["name"] for each in found} <= CLIENT
    assert said(plain, "-c", PROGRAM) == "[]\n"
    megabytes = sum(file.stat().st_size for file in plain.parents[1].rglob("*") if not file.is_symlink()) / 1e6
    assert megabytes < 10


@pytest.mark.parametrize(("command", "extra"), [("banditctl", "cli"), ("bandit-mcp", "mcp")])
def test_a_command_without_its_extra_says_so(plain: Path, command: str, extra: str) -> None:
    done = ran(plain.with_name(command))
    assert done.returncode == 1
    assert done.stderr.endswith(f"install bandit-sdk[{extra}]\n")


def test_the_extras_bring_the_rest(wheels: Path) -> None:
    _, extras = install_lines()
    python = environment(wheels / "extras", extras, wheels)
    said(python, "-c", "import bandit_sdk.learning, bandit_sdk.testing, bandit_sdk.mcp_bridge")
    assert "experiments" in said(python.with_name("banditctl"), "--help")
