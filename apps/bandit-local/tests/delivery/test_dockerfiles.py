"""What holds for every image. That they build and run is seen where there is Docker: workflow `compose`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import PurePath

import pytest

from .repository import IMAGES, ROOT, complaints, dockerfile


@dataclass
class Stage:
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [arguments for instruction, arguments in self.instructions if instruction == name]

    def only(self, name: str) -> str:
        (arguments,) = self.all(name)
        return arguments


def stages(image: str) -> list[Stage]:
    lines = [line for line in dockerfile(image).read_text().splitlines() if not line.startswith("#")]
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line:
            name, _, arguments = line.partition(" ")
            if name == "FROM":
                found.append(Stage(arguments.split()[0]))
            else:
                found[-1].instructions.append((name, arguments))
    return found


def test_there_is_a_dockerfile_for_every_image_and_no_other() -> None:
    assert sorted(path.parent.name for path in (ROOT / "apps").glob("*/Dockerfile")) == sorted(IMAGES)


def test_hadolint_has_nothing_to_say() -> None:
    assert complaints("hadolint", *map(dockerfile, IMAGES)) == ""


def test_all_are_built_on_one_patch_release_of_the_python_that_is_tested() -> None:
    (base,) = {stage.base for image in IMAGES for stage in stages(image)}
    python = (ROOT / ".python-version").read_text().strip()
    assert re.fullmatch(rf"python:{re.escape(python)}\.\d+-slim-\w+(@sha256:[0-9a-f]{{64}})?", base)


@pytest.mark.parametrize("image", IMAGES)
def test_the_last_stage_installs_nothing(image: str) -> None:
    *_, last = stages(image)
    assert last.all("RUN") == []
    assert all(arguments.startswith("--from=build ") for arguments in last.all("COPY"))


@pytest.mark.parametrize("image", IMAGES)
def test_it_runs_as_a_number_that_is_not_root(image: str) -> None:
    *_, last = stages(image)
    assert last.only("USER") == "10001:10001"


@pytest.mark.parametrize("image", IMAGES)
def test_its_process_is_started_without_a_shell_so_that_signals_reach_it(image: str) -> None:
    *_, last = stages(image)
    started = [json.loads(arguments) for name in ("ENTRYPOINT", "CMD") for arguments in last.all(name)]
    assert started
    assert all(started)
    check = re.fullmatch(r"(?:--\S+ )+CMD (\[.*\])", last.only("HEALTHCHECK"))
    assert check is not None
    assert json.loads(check[1])


@pytest.mark.parametrize("image", IMAGES)
def test_it_says_what_it_is(image: str) -> None:
    *_, last = stages(image)
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', last.only("LABEL")))
    assert labels["title"] == image
    assert labels["description"]


@pytest.mark.parametrize("image", IMAGES)
def test_only_pinned_packages_are_downloaded(image: str) -> None:
    commands = [part.strip() for run in stages(image)[0].all("RUN") for part in run.split("&&")]
    assert any("-r requirements/" in command for command in commands)
    for command in commands:
        if "install" in command.split() and "pip" in command.split():
            assert {"--require-hashes", "--offline"} & set(command.split()), command
            assert "--no-deps" in command, command


@pytest.mark.parametrize("image", IMAGES)
def test_what_it_copies_is_let_into_the_build(image: str) -> None:
    first = stages(image)[0]
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in (source for copy in first.all("COPY") for source in copy.split()[:-1]):
        path = ROOT / source
        needed = [path] if path.is_file() else [path / "pyproject.toml", path / "README.md", path / "src"]
        for each in needed:
            assert each.exists()
            assert any(each.relative_to(ROOT).match(pattern) for pattern in let_in), each


def let_in(path: str) -> bool:
    """Return whether a build gets a file or folder: the last pattern that matches it, or a folder of it, decides."""
    found = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if not line or line.startswith("#"):
            continue
        names = path.split("/")
        above = ["/".join(names[:length]) for length in range(1, len(names) + 1)]
        parts = pattern.count("/") + 1
        if any(each.count("/") + 1 == parts and PurePath(each).match(pattern) for each in above):
            found = line.startswith("!")
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_folders_that_are_copied_are_let_in_themselves(image: str) -> None:
    """buildah 1.28 finds no folder that is left out, whatever of its parts is let in."""
    for source in (source for copy in stages(image)[0].all("COPY") for source in copy.split()[:-1]):
        assert let_in(source), source


def test_nothing_else_is_let_in() -> None:
    assert let_in("apps/bandit-core/src/bandit_core/engine.py")
    assert let_in("requirements/lock.txt")
    for path in (".git", ".local/x", "apps/bandit-core/tests", "apps/bandit-core/.venv", "docs", "requirements/x.in"):
        assert not let_in(path), path
