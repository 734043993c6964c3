"""Print the tests of what changed since the last commit, for `make test-fast`: arguments of pytest, one line a run.

The first line names test files and folders to run whole: tests that changed themselves, and those that mirror a changed
source file (src/bandit_service/events/writer.py: tests/events/test_writer.py). The second names folders whose tests
run without those that need a server: the nearest folder that mirrors a source file without a test file of its own. A
change of anything else runs the test files that mention its name. A line may be empty.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

SIMPLE = {"docs/studies": "docs/studies/tests", "grafana": "grafana/tests", "k8s": "k8s/tests"}
DELIVERY = "apps/bandit-local/tests/delivery"
DELIVERED = (".ci", ".github", "requirements", "Makefile", "pyproject.toml")


def main() -> None:
    root = Path(__file__).parents[1]
    whole, partly = tests_of(root, changed(root))
    sys.stdout.write(f"{' '.join(whole)}\n{' '.join(partly)}\n")


def changed(root: Path) -> list[str]:
    """Return the files that differ from the last commit, new ones included and deleted ones left out."""
    commands = (["diff", "--name-only", "--diff-filter=d", "HEAD"], ["ls-files", "--others", "--exclude-standard"])
    found = [_git(root, *command) for command in commands]
    return sorted({line for lines in found for line in lines})


def tests_of(root: Path, files: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return what to run whole, and folders to run without the tests that need a server."""
    whole, partly = set(), set()
    for name in files:
        path = PurePosixPath(name)
        if path.name.startswith("test_") and path.suffix == ".py":
            whole.add(name)
        elif "tests" in path.parts:
            partly.add(str(path.parent))
        elif "src" in path.parts:
            mirrored = list(_mirrors(root, path)) or ([] if path.suffix == ".py" else _mentions(root, path.name))
            whole.update(mirrored)
            if not mirrored:
                partly.add(_folder(root, path))
        elif folder := next(filter(path.is_relative_to, SIMPLE), None):
            whole.add(SIMPLE[folder])
        else:
            whole.update(_mentions(root, path.name))
            if path.parts[0] in DELIVERED or path.name in ("Dockerfile", "compose.yaml"):
                whole.add(DELIVERY)
    return _outermost(whole), _outermost(partly)


def _mirrors(root: Path, source: PurePosixPath) -> Iterator[str]:
    """Yield the test file of a source file, beside its folder's tests or above, or the folder of its tests."""
    app, inner = _split(source)
    if source.name == "__init__.py":
        return
    for folder in (inner, *inner.parents):
        for candidate in (app / "tests" / folder / f"test_{source.stem}.py", app / "tests" / folder / source.stem):
            if (root / candidate).exists():
                yield str(candidate)
                return


def _folder(root: Path, source: PurePosixPath) -> str:
    app, inner = _split(source)
    folders = (app / "tests" / folder for folder in (inner, *inner.parents))
    return str(next((folder for folder in folders if (root / folder).is_dir()), app))


def _split(source: PurePosixPath) -> tuple[PurePosixPath, PurePosixPath]:
    """Return the app, and the folder inside of its package."""
    at = source.parts.index("src")
    return PurePosixPath(*source.parts[:at]), PurePosixPath(*source.parts[at + 2 : -1])


def _mentions(root: Path, name: str) -> list[str]:
    return _git(root, "grep", "--files-with-matches", "--fixed-strings", "-e", name, "--", "*/test_*.py")


def _outermost(paths: set[str]) -> list[str]:
    """Return what is in no folder that is among them."""
    return sorted(each for each in paths if not any(str(parent) in paths for parent in PurePosixPath(each).parents))


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout.splitlines()


if __name__ == "__main__":
    main()
