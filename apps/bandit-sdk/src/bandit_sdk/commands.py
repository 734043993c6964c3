"""The commands of this package, which are extras: without their packages each says how to install them."""

from __future__ import annotations

import io
import sys


def banditctl() -> None:
    """Run `banditctl`."""
    try:
        from bandit_sdk.ctl.app import app
    except ModuleNotFoundError as missing:
        sys.exit(_needs("banditctl", "cli", missing))
    write_in_any_encoding()
    app()


def bandit_mcp() -> None:
    """Run `bandit-mcp`."""
    try:
        from bandit_sdk.mcp_bridge import run
    except ModuleNotFoundError as missing:
        sys.exit(_needs("bandit-mcp", "mcp", missing))
    write_in_any_encoding()
    run()


def write_in_any_encoding() -> None:
    """Have characters that a terminal's encoding lacks written as escapes, where Python would end with an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _needs(command: str, extra: str, missing: ModuleNotFoundError) -> str:
    return f"{command} needs {missing.name}: install bandit-sdk[{extra}]"
