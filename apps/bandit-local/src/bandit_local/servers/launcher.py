"""Prepare a child process from the inside, then become the server.

Runs as a script in a fresh interpreter of its own, because work between fork and exec in a process with threads can
deadlock, and because only a process with a single thread may enter a user namespace. Standard library only:

    python -I -S launcher.py PARENT_PID DEATH_SIGNAL nobody|self COMMAND [ARGUMENT ...]
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
NOBODY = 65534

NAMESPACE_REFUSED = (
    "Postgres does not run as root, and this kernel does not allow a user namespace ({reason}): "
    "run as an ordinary user, or pass --postgres-dsn to use a server that already runs."
)


def become_nobody() -> None:
    """Enter a user namespace that calls root nobody: no new user, no file changes hands, no right is widened."""
    os.unshare(os.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} 0 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} 0 1")


def die_with_parent(parent_pid: int, death_signal: int) -> None:
    """Ask the kernel for ``death_signal`` when the parent dies (Linux; elsewhere the next start stops orphans)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the kernel was asked
        sys.exit(1)


def hear(stop_signal: int) -> None:
    """Undo what the parent ignores: it survives exec, and a shell lets its background jobs ignore SIGINT."""
    signal.signal(stop_signal, signal.SIG_DFL)


def main(arguments: list[str]) -> None:
    parent_pid, death_signal, identity, *command = arguments
    hear(int(death_signal))
    if identity == "nobody":
        try:
            become_nobody()
        except OSError as refused:
            sys.exit(NAMESPACE_REFUSED.format(reason=refused.strerror))
    # Entering a namespace changes credentials, and the kernel forgets the death signal then: so it comes after.
    die_with_parent(int(parent_pid), int(death_signal))
    os.execv(command[0], command)  # noqa: S606 - replacing this process, without a shell, is the point


if __name__ == "__main__":
    main(sys.argv[1:])
