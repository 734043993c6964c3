"""The commands of this package, which are extras: without their packages each says how to install them."""

from __future__ import annotations

import sys


def banditctl() -> None:
    """Run `banditctl`."""
    try:
        from bandit_sdk.ctl.app import app
    except ModuleNotFoundError as missing:
        sys.exit(_needs("banditctl", "cli", missing))
    app()


def bandit_mcp() -> None:
    """Run `bandit-mcp`."""
    try:
        from bandit_sdk.mcp_bridge import run
    except ModuleNotFoundError as missing:
        sys.exit(_needs("bandit-mcp", "mcp", missing))
    run()


def _needs(command: str, extra: str, missing: ModuleNotFoundError) -> str:
    return f"{command} needs {missing.name}: install bandit-sdk[{extra}]"
