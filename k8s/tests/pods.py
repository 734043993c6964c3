"""A container of a pod on this machine: its user, a file system that is read-only but for its mounts, its environment.

The root is this machine's own. The programs of the image are those of this environment.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from manifests import REPOSITORY

from bandit_local.servers.process import ChildProcess

SCRIPTS: Final = sysconfig.get_path("scripts")
USER: Final = 10001
# An overlay gives these folders the image's own, without touching the machine's.
_OVERLAID: Final = ("/opt", "/var/lib")


def image_environment(app: str) -> dict[str, str]:
    """Return what the Dockerfile of an app sets, with this environment's programs first in PATH."""
    last = (REPOSITORY / "apps" / app / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    found = dict(re.findall(r"^(?:ENV| {3}) (\w+)=(\S+)", last, re.MULTILINE))
    return found | {"PATH": f"{SCRIPTS}:{os.environ['PATH']}"}


@contextmanager
def started(
    command: Sequence[str], folder: Path, *, environment: Mapping[str, str], mounts: Sequence[str]
) -> Iterator[ChildProcess]:
    """Lend a container's process; `mounts` are where the pod mounts empty folders that can be written to."""
    folder.mkdir(exist_ok=True)
    process = ChildProcess(
        [str(shutil.which("unshare")), "--mount", "sh", "-euc", _prepared(folder / "writable", mounts), "sh", *command],
        folder / "log",
        environment=environment,
    )
    try:
        yield process
    finally:
        process.stop()


def _prepared(writable: Path, mounts: Sequence[str]) -> str:
    writable.mkdir(exist_ok=True)
    repository, folder = shlex.quote(str(REPOSITORY)), shlex.quote(str(writable))
    lines = ["mount --make-rprivate /", f"mount --bind {folder} /mnt", "mkdir -p /mnt/repository /mnt/tmp"]
    lines += [f"mount --bind {repository} /mnt/repository"]
    for number, place in enumerate(_OVERLAID):
        upper, work = f"/mnt/{number}/upper", f"/mnt/{number}/work"
        options = f"lowerdir={place},upperdir={upper},workdir={work}"
        lines += [f"mkdir -p {upper} {work}", f"mount -t overlay overlay -o {options} {place}"]
    lines += [
        "mkdir -p /opt/dagster-home /opt/dagster /var/lib/dagster",
        f"cp {repository}/apps/bandit-pipeline/src/bandit_pipeline/dagster.yaml /opt/dagster-home",
    ]
    lines += [f"mount -t tmpfs tmpfs {mount}" for mount in mounts if mount != "/tmp"]  # noqa: S108 (below)
    if "/tmp" in mounts:  # noqa: S108 (the checkout may lie there)
        lines += ["mount --bind /mnt/tmp /tmp", f"mkdir -p {repository}", f"mount --bind /mnt/repository {repository}"]
    lines += [f"mount -o remount,bind,ro {place}" for place in (repository, *_OVERLAID, "/mnt", "/")]
    # The user is only a number: what it owns, this machine's user owns.
    lines.append(f'exec unshare --user --map-user={USER} --map-group={USER} -- "$@"')
    return "\n".join(lines)
