"""A container of a pod on this machine: its user, a file system that is read-only but for its mounts, its environment.

The root is this machine's own. The programs of the image are those of this environment.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from manifests import REPOSITORY, Object

from bandit_local.servers.process import ChildProcess

SCRIPTS: Final = sysconfig.get_path("scripts")
USER: Final = 10001
# An overlay gives these folders the image's own, without touching the machine's.
_OVERLAID: Final = ("/opt", "/var/lib")


def image_environment(app: str) -> dict[str, str]:
    """Return what the Dockerfile of an app sets, with the programs of the app's environment first in PATH."""
    found = dict(re.findall(r"^(?:ENV| {3}) (\w+)=(\S+)", _image(app), re.MULTILINE))
    own = REPOSITORY / "apps" / app / ".venv" / "bin"
    return found | {"PATH": f"{own if own.is_dir() else SCRIPTS}:{os.environ['PATH']}"}


def app_of(container: Object) -> str:
    name: str = container["image"].rpartition("/")[2].partition(":")[0]
    return name


def command_of(container: Object) -> list[str]:
    """Return what a container runs: its command, or its image's entrypoint; then its arguments."""
    entrypoint = re.findall(r"^ENTRYPOINT (\[.*\])$", _image(app_of(container)), re.MULTILINE)
    command: list[str] = container.get("command") or json.loads(entrypoint[0])
    return [*command, *container.get("args", [])]


def mounts_of(container: Object) -> list[str]:
    """Return where a container mounts what it may write to."""
    return [each["mountPath"] for each in container.get("volumeMounts", []) if not each.get("readOnly")]


def environment_of(container: Object, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return a container's environment; what it takes from secrets is among `secrets`, or that is a KeyError."""
    own = {each["name"]: each["value"] if "value" in each else secrets[each["name"]] for each in container["env"]}
    return image_environment(app_of(container)) | own


def _image(app: str) -> str:
    return (REPOSITORY / "apps" / app / "Dockerfile").read_text().rpartition("\nFROM ")[2]


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
        namespace = _mount_namespace(process.pid)
        process.stop()
        if namespace not in (None, _mount_namespace(os.getpid())):
            _end_all_in(namespace)


def _mount_namespace(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return None


def _end_all_in(namespace: str | None) -> None:
    """End what the container's process has started and left: with a container it goes, too."""
    for place in Path("/proc").glob("[0-9]*"):
        if _mount_namespace(int(place.name)) == namespace:
            with suppress(ProcessLookupError):
                os.kill(int(place.name), signal.SIGKILL)


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
        lines += ["mount --bind /mnt/tmp /tmp", f"mkdir -p {repository}"]
    lines.append(f"mount --bind /mnt/repository {repository}")
    lines += [f"mount -o remount,bind,ro {place}" for place in (repository, *_OVERLAID, "/mnt", "/")]
    # The user is only a number: what it owns, this machine's user owns.
    lines.append(f'exec unshare --user --map-user={USER} --map-group={USER} -- "$@"')
    return "\n".join(lines)
