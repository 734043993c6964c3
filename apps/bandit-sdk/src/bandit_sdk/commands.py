"""The commands of this package, which are extras: without their packages each says how to install them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def banditctl() -> None:
    """Run `banditctl`."""
    try:
        from bandit_sdk.ctl.app import app
    except ModuleNotFoundError as missing:
        sys.exit(_needs("banditctl", "cli", missing))
    end_in_one_line("banditctl", app)


def bandit_mcp() -> None:
    """Run `bandit-mcp`."""
    try:
        from bandit_sdk.mcp_bridge import run
    except ModuleNotFoundError as missing:
        sys.exit(_needs("bandit-mcp", "mcp", missing))
    end_in_one_line("bandit-mcp", run)


def end_in_one_line(name: str, command: Callable[[], object]) -> None:
    """Run a command in any surroundings: a pipe without a reader, a full disk, no standard output at all.

    Characters that a terminal's encoding lacks are written as escapes, where Python would end with an error.
    """
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        command()
    except OSError as error:
        # What is still to be written would be tried again when the interpreter ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"{name}: {error.strerror or error}")


def _open_missing_streams() -> None:
    """Give a process that was started without one of the standard streams an empty one."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115 (as long as the process lives)
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


def _needs(command: str, extra: str, missing: ModuleNotFoundError) -> str:
    return f"{command} needs {missing.name}: install bandit-sdk[{extra}]"
